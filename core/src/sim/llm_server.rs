//! One LLM replica with continuous batching and chunked prefill, as a state machine.
//!
//! One iteration: every running sequence past its prompt gets one token, the others share at most
//! `chunk` prompt tokens first come first served, and waiting requests are admitted in order while
//! sequences and KV blocks are free. It takes
//! `a + b x prefill tokens + d x running + e x KV tokens` milliseconds times lognormal noise of mean
//! 1 ([`Preset`](super::Preset)). A prompt's leading blocks that the prefix cache knows are not
//! computed again, except for its last block, which yields the first token. When a sequence needs a
//! block and there is none, the sequence admitted last loses its blocks, goes back to the head of
//! the queue and is computed again; tokens it has given stay given. A new replica's cache is cold.
//!
//! The model is the scheduler of vLLM's first-come-first-served mode with two simplifications: the
//! blocks of a whole prompt are taken at admission, and decode tokens do not count against `chunk`.
//!
//! Guards against a simulator and a mock server that drift apart: both drive this one. Pure: no
//! clock, no I/O. Cost: an iteration is linear in the running sequences and allocates nothing once
//! its vectors have grown; a request costs one slot, reused.

use std::{collections::VecDeque, time::Duration};

use super::{
    Event, Occupancy, Preset, PresetError, Request, RequestId, SubmitError, Timing,
    kv_blocks::KvBlocks,
};
use crate::{Rng, Time};

/// One model replica.
///
/// ```
/// use trimtab_core::{Rng, Time, sim::{Event, LlmServer, Preset, Request}};
/// let mut rng = Rng::seeded(1);
/// let mut server = LlmServer::new(Preset::by_name("mid")?.with_noise_sigma(0.0))?;
/// let id = server.submit(Time::ZERO, Request::new(100, 2))?;
/// let (mut now, mut events) = (Time::ZERO, Vec::new());
/// while let Some(end) = server.next_step(now, &mut rng) {
///     server.finish_step(&mut events);
///     now = end;
/// }
/// // 6 + 0.125 x 100 + 0.35 for the prompt, 6 + 0.35 for the second token
/// assert_eq!(now, Time::from_nanos(25_200_000));
/// assert!(matches!(events[..], [Event::FirstToken { .. }, Event::Token { .. }, Event::Done { .. }]));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct LlmServer {
    preset: Preset,
    kv: KvBlocks,
    slots: Vec<Sequence>,
    vacant: Vec<u32>,
    /// In order of admission.
    running: Vec<u32>,
    /// In order of arrival; ids of cancelled requests stay until they surface or are swept.
    waiting: VecDeque<RequestId>,
    waiting_count: usize,
    step_end: Option<Time>,
    slow_down: f64,
    preemptions: u64,
}

#[derive(Clone, Debug, Default)]
struct Sequence {
    generation: u32,
    state: State,
    request: Request,
    generated: u32,
    /// Tokens to compute before the next token comes; past the prompt after a preemption.
    target: u32,
    /// Tokens whose keys and values exist.
    computed: u32,
    /// Prompt tokens in the iteration under way.
    planned: u32,
    /// Leading prompt blocks shared with the prefix cache.
    shared: u32,
    private: u32,
    submitted: Time,
    admitted: Option<Time>,
    first_token: Time,
    cached_tokens: u32,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    #[default]
    Vacant,
    Waiting,
    Running,
}

impl LlmServer {
    /// An idle server with a cold cache.
    ///
    /// # Errors
    /// [`PresetError::Invalid`] if the preset breaks its rules.
    pub fn new(preset: Preset) -> Result<Self, PresetError> {
        preset.validate()?;
        Ok(Self {
            kv: KvBlocks::new(preset.kv_blocks()),
            preset,
            slots: Vec::new(),
            vacant: Vec::new(),
            running: Vec::new(),
            waiting: VecDeque::new(),
            waiting_count: 0,
            step_end: None,
            slow_down: 1.0,
            preemptions: 0,
        })
    }

    /// Queues a request that arrives at `now`. The next iteration to start may admit it.
    ///
    /// # Errors
    /// [`SubmitError`] if it is empty or could never fit.
    pub fn submit(&mut self, now: Time, request: Request) -> Result<RequestId, SubmitError> {
        if request.prompt_tokens == 0 || request.output_tokens == 0 {
            return Err(SubmitError::Empty);
        }
        // The last token is given out, not kept.
        let tokens = u64::from(request.prompt_tokens) + u64::from(request.output_tokens) - 1;
        let capacity = u64::from(self.preset.kv_blocks()) * u64::from(self.preset.block_tokens);
        if tokens > capacity {
            return Err(SubmitError::TooLong { tokens, capacity });
        }
        let slot = self.vacant.pop().unwrap_or_else(|| {
            self.slots.push(Sequence::default());
            (self.slots.len() - 1) as u32
        });
        let sequence = &mut self.slots[slot as usize];
        let id = RequestId { generation: sequence.generation, slot };
        *sequence = Sequence {
            generation: id.generation,
            state: State::Waiting,
            target: request.prompt_tokens,
            request,
            submitted: now,
            ..Sequence::default()
        };
        self.waiting.push_back(id);
        self.waiting_count += 1;
        Ok(id)
    }

    /// Drops a request and frees what it holds; false if it is not here any more. An iteration under
    /// way takes as long as it would have.
    pub fn cancel(&mut self, id: RequestId) -> bool {
        let Some(sequence) = self.slots.get(id.slot as usize) else { return false };
        if sequence.generation != id.generation {
            return false;
        }
        match sequence.state {
            State::Vacant => return false,
            State::Running => self.running.retain(|&slot| slot != id.slot),
            State::Waiting => self.waiting_count -= 1,
        }
        self.release_blocks(id.slot);
        self.vacate(id.slot);
        if self.waiting.len() > 64 + 2 * self.waiting_count {
            let slots = &self.slots;
            self.waiting.retain(|id| slots[id.slot as usize].generation == id.generation);
        }
        true
    }

    /// Starts an iteration at `now` unless one is under way, and returns when it ends; `None` if
    /// there is nothing to do. Randomness is drawn once for each iteration that starts.
    pub fn next_step(&mut self, now: Time, rng: &mut Rng) -> Option<Time> {
        if self.step_end.is_some() {
            return self.step_end;
        }
        self.reserve_decode_blocks();
        self.admit(now);
        if self.running.is_empty() {
            return None;
        }
        let prefill = self.plan_prefill();
        let context: u64 =
            self.running.iter().map(|&slot| u64::from(self.slots[slot as usize].computed)).sum();
        let preset = &self.preset;
        let mut millis = preset.step_ms
            + preset.prefill_token_ms * f64::from(prefill)
            + preset.running_ms * self.running.len() as f64
            + preset.kv_token_ms * context as f64;
        let sigma = preset.noise_sigma;
        if sigma > 0.0 {
            millis *= (sigma * rng.normal() - sigma * sigma / 2.0).exp();
        }
        // Saturates for absurd costs; at least a nanosecond, so that time moves on.
        let nanos = (millis * self.slow_down * 1e6).round() as u64;
        self.step_end = Some(now + Duration::from_nanos(nanos.max(1)));
        self.step_end
    }

    /// Ends the iteration under way and appends what it brought, in order of admission. Call it once
    /// the time that [`LlmServer::next_step`] returned has come; without an iteration it does
    /// nothing. The next iteration starts no earlier than this one's end if the caller passes that
    /// time on.
    pub fn finish_step(&mut self, events: &mut Vec<Event>) {
        let Some(end) = self.step_end.take() else { return };
        let mut kept = 0;
        for index in 0..self.running.len() {
            let slot = self.running[index];
            if self.advance(slot, end, events) {
                self.release_blocks(slot);
                self.vacate(slot);
            } else {
                self.running[kept] = slot;
                kept += 1;
            }
        }
        self.running.truncate(kept);
    }

    /// Multiplies the time of iterations that start from now on; 1 is the preset's own speed.
    /// Anything not finite or not positive counts as 1.
    pub fn set_slow_down(&mut self, factor: f64) {
        self.slow_down = if factor.is_finite() && factor > 0.0 { factor } else { 1.0 };
    }

    /// How full the server is.
    pub fn occupancy(&self) -> Occupancy {
        Occupancy {
            running: self.running.len(),
            waiting: self.waiting_count,
            kv_usage: self.kv.usage(),
        }
    }

    /// Prompt tokens that are here and yet to be computed; what the prefix cache knows is not counted.
    pub fn prompt_tokens_ahead(&self) -> u64 {
        let running = self.running.iter().map(|slot| {
            let sequence = &self.slots[*slot as usize];
            u64::from(sequence.target.saturating_sub(sequence.computed))
        });
        let waiting = self.waiting.iter().filter_map(|id| {
            let sequence = &self.slots[id.slot as usize];
            let here = sequence.generation == id.generation;
            here.then(|| u64::from(self.new_tokens(sequence.target, &sequence.request.blocks)))
        });
        running.chain(waiting).sum()
    }

    /// When a request that came at `now` could have its first token, if nothing else came, memory
    /// sufficed and no step were noisy: what a router could know that sees all of this server.
    pub fn first_token_estimate(&self, now: Time, prompt_tokens: u32, blocks: &[u64]) -> Time {
        let preset = &self.preset;
        let tokens = self.prompt_tokens_ahead() + u64::from(self.new_tokens(prompt_tokens, blocks));
        let steps = tokens.div_ceil(u64::from(preset.chunk)).max(1);
        let sequences = self.running.len() + self.waiting_count + 1;
        let step = preset.step_ms + preset.running_ms * sequences.min(preset.max_seqs) as f64;
        let millis = steps as f64 * step + preset.prefill_token_ms * tokens as f64;
        let start = self.step_end.unwrap_or(now).max(now);
        start + Duration::from_nanos((millis * self.slow_down * 1e6) as u64)
    }

    /// Prompt tokens that would have to be computed.
    fn new_tokens(&self, prompt_tokens: u32, blocks: &[u64]) -> u32 {
        if !self.preset.prefix_cache || prompt_tokens == 0 {
            return prompt_tokens;
        }
        let block = self.preset.block_tokens;
        let creditable = ((prompt_tokens - 1) / block) as usize;
        let known = self.kv.known_prefix(&blocks[..blocks.len().min(creditable)]);
        prompt_tokens - known * block
    }

    /// Times that a sequence lost its blocks to an earlier one.
    pub fn preemptions(&self) -> u64 {
        self.preemptions
    }

    /// The preset it runs on.
    pub fn preset(&self) -> &Preset {
        &self.preset
    }

    /// A block for every decoding sequence that crosses into a new one, taken from the sequence
    /// admitted last if there is none. That one then waits at the front, so newcomers can't take
    /// what it left.
    fn reserve_decode_blocks(&mut self) {
        let block = self.preset.block_tokens;
        let mut index = 0;
        while let Some(&slot) = self.running.get(index) {
            let sequence = &self.slots[slot as usize];
            let held = sequence.shared + sequence.private;
            let crosses = sequence.computed >= sequence.target && sequence.computed >= held * block;
            if crosses && !self.kv.take(1) {
                // May be the sequence itself, which then is not at `index` any more.
                self.preempt_last();
                continue;
            }
            self.slots[slot as usize].private += u32::from(crosses);
            index += 1;
        }
    }

    fn preempt_last(&mut self) {
        let Some(slot) = self.running.pop() else { return };
        self.release_blocks(slot);
        let sequence = &mut self.slots[slot as usize];
        sequence.state = State::Waiting;
        sequence.target = sequence.request.prompt_tokens + sequence.generated;
        sequence.computed = 0;
        self.waiting.push_front(RequestId { generation: sequence.generation, slot });
        self.waiting_count += 1;
        self.preemptions += 1;
    }

    fn admit(&mut self, now: Time) {
        while self.running.len() < self.preset.max_seqs {
            let Some(&id) = self.waiting.front() else { return };
            if self.slots[id.slot as usize].generation != id.generation {
                self.waiting.pop_front();
                continue;
            }
            if !self.take_prompt_blocks(id.slot) {
                return;
            }
            self.waiting.pop_front();
            self.waiting_count -= 1;
            self.running.push(id.slot);
            let sequence = &mut self.slots[id.slot as usize];
            sequence.state = State::Running;
            sequence.computed = sequence.shared * self.preset.block_tokens;
            if sequence.admitted.is_none() {
                sequence.admitted = Some(now);
                sequence.cached_tokens = sequence.computed;
            }
        }
    }

    /// Shares what the cache knows of the prompt and takes the rest; false and unchanged if there is
    /// no room.
    fn take_prompt_blocks(&mut self, slot: u32) -> bool {
        let block = self.preset.block_tokens;
        let sequence = &mut self.slots[slot as usize];
        // The block with the last token is always computed: it yields the next one.
        let creditable = ((sequence.target - 1) / block) as usize;
        let mut known: &[u64] = &[];
        if self.preset.prefix_cache {
            let full = (sequence.request.prompt_tokens / block) as usize;
            let hashes = &sequence.request.blocks;
            let hashes = &hashes[..hashes.len().min(full).min(creditable)];
            known = &hashes[..self.kv.known_prefix(hashes) as usize];
        }
        let private = sequence.target.div_ceil(block) - known.len() as u32;
        if private > self.kv.available() {
            return false;
        }
        // Idle blocks stop being available once shared, hence the second look.
        for &hash in known {
            self.kv.share(hash);
        }
        if !self.kv.take(private) {
            self.kv.unshare(known);
            return false;
        }
        (sequence.shared, sequence.private) = (known.len() as u32, private);
        true
    }

    fn plan_prefill(&mut self) -> u32 {
        let mut budget = self.preset.chunk;
        for &slot in &self.running {
            let sequence = &mut self.slots[slot as usize];
            sequence.planned = (sequence.target.saturating_sub(sequence.computed)).min(budget);
            budget -= sequence.planned;
        }
        self.preset.chunk - budget
    }

    /// One sequence's part of the iteration; true if that was its last.
    fn advance(&mut self, slot: u32, end: Time, events: &mut Vec<Event>) -> bool {
        let sequence = &mut self.slots[slot as usize];
        if sequence.computed < sequence.target {
            sequence.computed += std::mem::take(&mut sequence.planned);
            self.publish_prompt_blocks(slot);
            let sequence = &self.slots[slot as usize];
            if sequence.computed < sequence.target {
                return false;
            }
        } else {
            sequence.computed += 1;
        }
        let sequence = &mut self.slots[slot as usize];
        let id = RequestId { generation: sequence.generation, slot };
        sequence.generated += 1;
        if sequence.generated == 1 {
            sequence.first_token = end;
            events.push(Event::FirstToken { id });
        } else {
            events.push(Event::Token { id });
        }
        if sequence.generated < sequence.request.output_tokens {
            return false;
        }
        let admitted = sequence.admitted.unwrap_or(sequence.submitted);
        let timing = Timing {
            queue: admitted.since(sequence.submitted),
            prefill: sequence.first_token.since(admitted),
            decode: end.since(sequence.first_token),
            cached_tokens: sequence.cached_tokens,
        };
        events.push(Event::Done { id, timing });
        true
    }

    fn publish_prompt_blocks(&mut self, slot: u32) {
        if !self.preset.prefix_cache {
            return;
        }
        let sequence = &mut self.slots[slot as usize];
        let computed = sequence.computed.min(sequence.request.prompt_tokens);
        let full = (computed / self.preset.block_tokens) as usize;
        let hashes = &sequence.request.blocks;
        for &hash in hashes.iter().take(full).skip(sequence.shared as usize) {
            self.kv.publish(hash);
            sequence.shared += 1;
            sequence.private -= 1;
        }
    }

    fn release_blocks(&mut self, slot: u32) {
        let sequence = &mut self.slots[slot as usize];
        let shared = std::mem::take(&mut sequence.shared) as usize;
        self.kv.unshare(&sequence.request.blocks[..shared]);
        self.kv.give_back(std::mem::take(&mut sequence.private));
    }

    fn vacate(&mut self, slot: u32) {
        let sequence = &mut self.slots[slot as usize];
        sequence.state = State::Vacant;
        sequence.generation = sequence.generation.wrapping_add(1);
        sequence.request = Request::default();
        self.vacant.push(slot);
    }
}
