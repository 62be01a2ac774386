//! Hardware in eight numbers: the cost coefficients and the limits of one model replica.
//!
//! The 70B rows are linear fits to the public Splitwise performance measurements (decode within 1 to
//! 2 %, prefill 7 to 19 %, since real prefill is convex). Their sequence limit and chunk are not in
//! that data: they take those of `mid`.
//!
//! `prefill-fast` and `decode-fast` are made up, to be small: each is at least three times as fast
//! as the other on one of two request classes (4000 prompt tokens with 16 answered; 200 with 128).
//! That is the shape of a fleet of unlike accelerators, at a scale where six replicas fill up with
//! some tens of requests a second. Their prefix cache is off, so that a class costs the same
//! whatever the text.

/// Cost coefficients and limits of one replica.
///
/// One iteration takes `step_ms`, plus `prefill_token_ms` for each prompt token in it, plus
/// `running_ms` for each running sequence, plus `kv_token_ms` for each token of their context, all
/// times lognormal noise with mean 1.
///
/// ```
/// use trimtab_core::sim::Preset;
/// let preset = Preset::by_name("mid")?.with_noise_sigma(0.0).with_max_seqs(64);
/// assert_eq!(preset.kv_tokens, 524_288);
/// # Ok::<(), trimtab_core::sim::PresetError>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Preset {
    /// The name it is known by.
    pub name: String,
    /// `a`: milliseconds that every iteration takes.
    pub step_ms: f64,
    /// `b`: milliseconds for each prompt token computed in the iteration.
    pub prefill_token_ms: f64,
    /// `d`: milliseconds for each running sequence.
    pub running_ms: f64,
    /// `e`: milliseconds for each token of context that the running sequences hold.
    pub kv_token_ms: f64,
    /// Tokens that the KV cache holds.
    pub kv_tokens: u32,
    /// Most sequences that run at once.
    pub max_seqs: usize,
    /// Most prompt tokens computed in one iteration.
    pub chunk: u32,
    /// Tokens in a KV block; also the grain of the prefix cache.
    pub block_tokens: u32,
    /// Whether prompt blocks computed once are found again.
    pub prefix_cache: bool,
    /// Sigma of the logarithm of the noise; 0 for none. Measured servers show 0.05 to 0.15.
    pub noise_sigma: f64,
}

impl Preset {
    /// The names that [`Preset::by_name`] knows.
    pub const NAMES: [&str; 5] =
        ["mid", "llama2-70b-h100", "llama2-70b-a100", "prefill-fast", "decode-fast"];

    /// The preset of that name.
    ///
    /// # Errors
    /// [`PresetError::Unknown`], which lists the known names.
    pub fn by_name(name: &str) -> Result<Self, PresetError> {
        let [step_ms, prefill_token_ms, running_ms, kv_token_ms] = match name {
            "mid" => [6.0, 0.125, 0.35, 0.0],
            "llama2-70b-h100" => [29.8, 0.0715, 0.20, 1.8e-4],
            "llama2-70b-a100" => [44.2, 0.154, 0.20, 3.1e-4],
            "prefill-fast" => [1.6, 0.010, 1.4, 0.0],
            "decode-fast" => [0.4, 0.080, 0.4, 0.0],
            _ => return Err(PresetError::Unknown { name: name.to_owned() }),
        };
        let small = matches!(name, "prefill-fast" | "decode-fast");
        Ok(Self {
            name: name.to_owned(),
            step_ms,
            prefill_token_ms,
            running_ms,
            kv_token_ms,
            kv_tokens: match name {
                "mid" => 524_288,
                "llama2-70b-h100" => 461_000,
                "llama2-70b-a100" => 300_000,
                _ => 65_536,
            },
            max_seqs: if small { 8 } else { 256 },
            chunk: 2_048,
            block_tokens: 512,
            prefix_cache: !small,
            noise_sigma: 0.1,
        })
    }

    /// With another sigma of the noise; 0 makes every step exact.
    pub fn with_noise_sigma(mut self, sigma: f64) -> Self {
        self.noise_sigma = sigma;
        self
    }

    /// With another limit on running sequences.
    pub fn with_max_seqs(mut self, max_seqs: usize) -> Self {
        self.max_seqs = max_seqs;
        self
    }

    /// With another KV capacity, in tokens.
    pub fn with_kv_tokens(mut self, kv_tokens: u32) -> Self {
        self.kv_tokens = kv_tokens;
        self
    }

    /// With another limit on prompt tokens in one iteration.
    pub fn with_chunk(mut self, chunk: u32) -> Self {
        self.chunk = chunk;
        self
    }

    /// With other cost coefficients, in milliseconds: `a` an iteration, `b` a prompt token, `d` a
    /// running sequence, `e` a token of context.
    pub fn with_costs(mut self, a: f64, b: f64, d: f64, e: f64) -> Self {
        (self.step_ms, self.prefill_token_ms, self.running_ms, self.kv_token_ms) = (a, b, d, e);
        self
    }

    /// With the prefix cache on or off.
    pub fn with_prefix_cache(mut self, on: bool) -> Self {
        self.prefix_cache = on;
        self
    }

    /// KV blocks in total.
    pub fn kv_blocks(&self) -> u32 {
        self.kv_tokens / self.block_tokens.max(1)
    }

    /// Checks what a server relies on.
    ///
    /// # Errors
    /// [`PresetError::Invalid`], which names the field.
    pub fn validate(&self) -> Result<(), PresetError> {
        let invalid = |field, rule| Err(PresetError::Invalid { field, rule });
        for (field, value) in [
            ("step_ms", self.step_ms),
            ("prefill_token_ms", self.prefill_token_ms),
            ("running_ms", self.running_ms),
            ("kv_token_ms", self.kv_token_ms),
            ("noise_sigma", self.noise_sigma),
        ] {
            if !(value.is_finite() && value >= 0.0) {
                return invalid(field, "be finite and not negative");
            }
        }
        if self.step_ms + self.running_ms <= 0.0 {
            return invalid("step_ms", "be above 0 unless running_ms is");
        }
        if self.max_seqs == 0 {
            return invalid("max_seqs", "be at least 1");
        }
        if self.chunk == 0 {
            return invalid("chunk", "be at least 1");
        }
        if self.block_tokens == 0 {
            return invalid("block_tokens", "be at least 1");
        }
        if self.kv_blocks() == 0 {
            return invalid("kv_tokens", "hold at least one block");
        }
        Ok(())
    }
}

/// Why a preset can't be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PresetError {
    /// No preset has that name.
    #[error("unknown preset `{name}`; known are {}", Preset::NAMES.join(", "))]
    Unknown {
        /// The name asked for.
        name: String,
    },
    /// A number out of its range.
    #[error("server preset: `{field}` must {rule}")]
    Invalid {
        /// The field.
        field: &'static str,
        /// What it must do.
        rule: &'static str,
    },
}
