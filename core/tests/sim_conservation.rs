//! Whatever happens to an LLM server model, requests and cache blocks are conserved.
#![cfg(feature = "sim")]

use std::collections::HashMap;

use proptest::prelude::*;
use trimtab_core::{
    Rng, Time,
    sim::{Event, LlmServer, Preset, Request, RequestId},
};

#[derive(Clone, Debug)]
enum Action {
    Submit {
        prompt: u32,
        output: u32,
        family: u64,
    },
    Cancel {
        which: usize,
    },
    Step,
    /// Leaves an iteration under way, so that the next actions fall into it.
    StartStep,
}

fn action() -> impl Strategy<Value = Action> {
    prop_oneof![
        3 => (1..1_500_u32, 1..600_u32, 0..3_u64)
            .prop_map(|(prompt, output, family)| Action::Submit { prompt, output, family }),
        1 => any::<usize>().prop_map(|which| Action::Cancel { which }),
        6 => Just(Action::Step),
        1 => Just(Action::StartStep),
    ]
}

#[derive(Debug)]
struct Asked {
    tokens: u32,
    given: u32,
    ended: bool,
}

struct World {
    server: LlmServer,
    rng: Rng,
    now: Time,
    requests: HashMap<RequestId, Asked>,
    order: Vec<RequestId>,
}

impl World {
    fn act(&mut self, action: &Action) -> Result<(), TestCaseError> {
        match *action {
            Action::Submit { prompt, output, family } => {
                // Three families of prompts that begin alike.
                let hashes = (0..3).map(|i| family * 100 + i).collect();
                let request = Request::new(prompt, output).with_blocks(hashes);
                let id = self.server.submit(self.now, request).unwrap();
                let asked = Asked { tokens: output, given: 0, ended: false };
                prop_assert!(self.requests.insert(id, asked).is_none(), "an id used twice");
                self.order.push(id);
            }
            Action::Cancel { which } if !self.order.is_empty() => {
                let id = self.order[which % self.order.len()];
                let asked = self.requests.get_mut(&id).unwrap();
                prop_assert_eq!(self.server.cancel(id), !asked.ended);
                asked.ended = true;
            }
            Action::Cancel { .. } => {}
            Action::StartStep => {
                self.server.next_step(self.now, &mut self.rng);
            }
            Action::Step => {
                self.step()?;
            }
        }
        Ok(())
    }

    /// One iteration; false when idle.
    fn step(&mut self) -> Result<bool, TestCaseError> {
        let Some(end) = self.server.next_step(self.now, &mut self.rng) else { return Ok(false) };
        prop_assert!(end > self.now);
        self.now = end;
        let mut events = Vec::new();
        self.server.finish_step(&mut events);
        for event in events {
            let (Event::FirstToken { id } | Event::Token { id } | Event::Done { id, .. }) = event
            else {
                continue;
            };
            let asked = self.requests.get_mut(&id).unwrap();
            prop_assert!(!asked.ended, "an event after the end");
            if let Event::Done { .. } = event {
                prop_assert_eq!(asked.tokens, asked.given);
                asked.ended = true;
            } else {
                let first = matches!(event, Event::FirstToken { .. });
                prop_assert_eq!(first, asked.given == 0);
                asked.given += 1;
            }
        }
        Ok(true)
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    /// Each request ends once, with all its tokens or cancelled, and nobody owns a block in the end.
    #[test]
    fn requests_and_blocks_are_conserved(
        actions in prop::collection::vec(action(), 1..120),
        blocks in 5..12_u32,
        max_seqs in 1..6_usize,
        cache in any::<bool>(),
    ) {
        let preset = Preset::by_name("mid").unwrap().with_kv_tokens(blocks * 512).with_chunk(700);
        let preset = preset.with_max_seqs(max_seqs).with_prefix_cache(cache);
        let mut world = World {
            server: LlmServer::new(preset).unwrap(),
            rng: Rng::seeded(1),
            now: Time::ZERO,
            requests: HashMap::new(),
            order: Vec::new(),
        };
        for action in &actions {
            world.act(action)?;
            let occupancy = world.server.occupancy();
            prop_assert!(occupancy.running <= max_seqs);
            prop_assert!((0.0..=1.0).contains(&occupancy.kv_usage));
            let alive = world.requests.values().filter(|asked| !asked.ended).count();
            prop_assert_eq!(occupancy.running + occupancy.waiting, alive);
        }
        // Far more iterations than all tokens and recomputations need.
        let mut left = 200_000;
        while world.step()? {
            left -= 1;
            prop_assert!(left > 0, "it never becomes idle");
        }
        prop_assert!(world.requests.values().all(|asked| asked.ended));
        prop_assert_eq!(world.server.occupancy().kv_usage, 0.0);
    }
}
