//! The routing environment: what a step does, what it brings, and what an agent is shown.
#![cfg(feature = "sim")]

use std::{num::NonZeroU64, sync::Arc};

use trimtab_core::{
    Rng,
    sim::{
        Environment, EnvironmentConfig, EnvironmentError, PolicyChoice, Scenario, Setup,
        Simulation, Step,
    },
};

const UNLIKE: &str = r#"
    name = "unlike servers"
    duration = "20s"
    [traffic]
    load = 0.7
    [[classes]]
    name = "long"
    work = { exponential = "20ms" }
    [[classes]]
    name = "short"
    work = { exponential = "5ms" }
    [[servers]]
    name = "a"
    count = 2
    speed_by_class = { long = 4 }
    [[servers]]
    name = "b"
    count = 2
    speed_by_class = { short = 4 }
"#;

fn scenario(text: &str) -> Arc<Scenario> {
    Arc::new(Scenario::parse(text, "inline.toml".as_ref()).expect("a scenario"))
}

fn environment(text: &str) -> Environment {
    Environment::new(&scenario(text), &EnvironmentConfig::default()).expect("an environment")
}

/// What an episode showed and brought.
#[derive(Debug, Default, PartialEq)]
struct Episode {
    observations: Vec<Vec<f32>>,
    masks: Vec<Vec<i8>>,
    steps: Vec<Step>,
}

/// Plays an episode with `choose` to name a server from what it is shown.
fn play(
    environment: &mut Environment,
    seed: u64,
    mut choose: impl FnMut(&[f32], &[i8]) -> usize,
) -> Episode {
    let mut observation = vec![0.0; environment.features().len()];
    let mut mask = vec![0; environment.servers().len()];
    let mut episode = Episode::default();
    environment.reset(seed).expect("an episode");
    loop {
        environment.observe(&mut observation, &mut mask);
        for (value, feature) in observation.iter().zip(environment.features()) {
            let within = (feature.low..=feature.high).contains(value);
            assert!(within, "{} = {value}", feature.name);
        }
        episode.observations.push(observation.clone());
        episode.masks.push(mask.clone());
        let step = environment.step(choose(&observation, &mask)).expect("a server");
        episode.steps.push(step);
        if step.truncated {
            return episode;
        }
    }
}

fn at_random(seed: u64) -> impl FnMut(&[f32], &[i8]) -> usize {
    let mut rng = Rng::seeded(seed);
    move |_, mask| {
        let allowed: Vec<usize> = (0..mask.len()).filter(|server| mask[*server] == 1).collect();
        allowed[rng.below(allowed.len())]
    }
}

fn place(environment: &Environment, name: &str) -> usize {
    environment.features().iter().position(|feature| feature.name == name).expect(name)
}

#[test]
fn the_same_seed_and_actions_give_the_same_episode() {
    let mut one = environment(UNLIKE);
    let mut two = one.another();
    let first = play(&mut one, 1, at_random(1));
    assert_eq!(first, play(&mut two, 1, at_random(1)));
    assert_eq!(first, play(&mut one, 1, at_random(1)), "an episode leaves nothing behind");
    assert_ne!(first, play(&mut one, 2, at_random(1)));
    assert_ne!(first, play(&mut one, 1, at_random(2)));
}

/// The requests are those that policies meet, and each is accounted for once.
#[test]
fn every_request_counts_once() {
    let mut environment = environment(UNLIKE);
    let episode = play(&mut environment, 3, at_random(3));
    let setup = Setup::new(PolicyChoice::named("round_robin"), Some(0.7), 3);
    let mut simulation = Simulation::new(&scenario(UNLIKE), &setup).expect("a simulation");
    simulation.run(&std::sync::atomic::AtomicBool::new(false));
    let requests = simulation.figures().requests;
    assert_eq!(episode.steps.len() as u64, requests);
    let completed: u32 = episode.steps.iter().map(|step| step.completed).sum();
    assert_eq!(u64::from(completed), requests);
    for step in &episode.steps {
        let cost = 0.5 * step.response_time + 0.3 * f64::from(step.errors) + 0.2 * step.utilization;
        assert!((step.reward + cost).abs() < 1e-12, "{step:?}");
        assert!((0.0..=1.0).contains(&step.utilization), "{step:?}");
    }
}

#[test]
fn actions_go_where_they_say() {
    let mut environment = environment(UNLIKE);
    let in_flight = place(&environment, "b-1.in_flight");
    let mut actions = Vec::new();
    let mut choose = at_random(4);
    let episode = play(&mut environment, 4, |observation, mask| {
        actions.push(choose(observation, mask));
        *actions.last().expect("just pushed")
    });
    let went: Vec<usize> =
        episode.steps.iter().map(|step| step.server.expect("a server") as usize).collect();
    assert_eq!(actions, went);
    // One sent to it and none ended: one more is there.
    let mut seen = 0;
    for (index, pair) in episode.observations.windows(2).enumerate() {
        if went[index] == 3 && episode.steps[index].completed == 0 {
            assert_eq!(pair[1][in_flight], pair[0][in_flight] + 1.0);
            seen += 1;
        }
    }
    assert!(seen > 50, "{seen}");
}

#[test]
fn the_request_is_shown() {
    let mut environment = environment(UNLIKE);
    let (long, short) = (place(&environment, "class=long"), place(&environment, "class=short"));
    let archetype = place(&environment, "b-0.archetype=b");
    let rate = place(&environment, "rate");
    let episode = play(&mut environment, 5, at_random(5));
    let shown = episode.observations.len() as f32;
    assert!(episode.observations.iter().all(|seen| seen[long] + seen[short] == 1.0));
    assert!(episode.observations.iter().all(|seen| seen[archetype] == 1.0));
    let mean = episode.observations.iter().map(|seen| seen[rate]).sum::<f32>() / shown;
    assert!((0.9..1.2).contains(&mean), "{mean}");
    // After the last one there is none.
    let mut after = vec![0.0; environment.features().len()];
    let mut mask = vec![1; 4];
    environment.observe(&mut after, &mut mask);
    assert_eq!((after[long], after[short]), (0.0, 0.0));
    assert_eq!(mask, [0; 4]);
}

/// Servers that are not in the fleet, or are ejected, are masked; what is sent to one goes elsewhere.
#[test]
fn servers_that_cannot_be_chosen_are_masked() {
    let text = format!(
        "{UNLIKE}
        spare = 1
        [[events]]
        at = \"5s\"
        until = \"10s\"
        servers = {{ group = \"a\", index = [0] }}
        action = \"remove\"
        [[events]]
        at = \"12s\"
        servers = {{ group = \"b\", index = [1] }}
        action = \"crash\""
    );
    let mut environment = environment(&text);
    assert_eq!(environment.servers(), ["a-0", "a-1", "b-0", "b-1", "b-2"]);
    let up = place(&environment, "b-1.up");
    let mut ticks = Vec::new();
    let mut observation = vec![0.0; environment.features().len()];
    let mut mask = vec![0; 5];
    environment.reset(6).expect("an episode");
    let mut turn = 0;
    loop {
        environment.observe(&mut observation, &mut mask);
        turn += 1;
        let step = environment.step(turn % 5).expect("a server");
        ticks.push((environment.seconds(), mask.clone(), observation[up], step));
        if let Some(server) = step.server {
            assert_eq!(mask[server as usize], 1, "{step:?}");
        }
        if step.truncated {
            break;
        }
    }
    let during = |from: f64, to: f64| ticks.iter().filter(move |(at, ..)| (from..to).contains(at));
    assert!(during(0.1, 5.0).all(|(_, mask, ..)| mask[..] == [1, 1, 1, 1, 0]));
    assert!(during(5.1, 10.0).all(|(_, mask, ..)| mask[0] == 0 && mask[1] == 1));
    assert!(during(10.1, 12.0).all(|(_, mask, ..)| mask[0] == 1));
    assert!(during(13.0, 16.0).any(|(_, mask, up, _)| mask[3] == 0 && *up == 0.0));
}

/// A retry is a decision of its own, and not for the server that failed.
#[test]
fn retries_are_decisions() {
    let text = UNLIKE
        .replace("[traffic]", "[clients]\nretries = 1\nconsecutive_failures = 0\n[traffic]")
        .replace("load = 0.7", "load = 0.1")
        + "[[events]]\nat = \"0s\"\nservers = { index = [0] }\naction = { fail_fast = { share = 0.3 } }\n";
    let mut environment = environment(&text);
    let attempt = place(&environment, "attempt");
    let mut retries = 0;
    let episode = play(&mut environment, 7, |observation, mask| {
        if observation[attempt] > 0.0 {
            retries += 1;
            assert_eq!(mask, [0, 1, 1, 1]);
            return 1;
        }
        usize::from(mask[0] == 0)
    });
    assert!(retries > 100, "{retries}");
    let failed: u32 = episode.steps.iter().map(|step| step.errors).sum();
    assert_eq!(failed, 0);
}

/// A fast failure costs its whole timeout.
#[test]
fn fast_failures_are_no_fast_answers() {
    let text = UNLIKE.replace("[traffic]", "[clients]\ntimeout = \"2s\"\n[traffic]")
        + "[[events]]\nat = \"0s\"\naction = { fail_fast = {} }\n";
    let mut config = EnvironmentConfig::default();
    config.time_scale = 0.5;
    let mut environment = Environment::new(&scenario(&text), &config).expect("an environment");
    let episode = play(&mut environment, 8, at_random(8));
    for step in episode.steps {
        assert_eq!(step.errors, step.completed);
        assert_eq!(step.response_time, 4.0 * f64::from(step.errors));
    }
}

#[test]
fn episodes_can_be_cut() {
    let mut config = EnvironmentConfig::default();
    config.max_steps = NonZeroU64::new(10);
    let mut environment = Environment::new(&scenario(UNLIKE), &config).expect("an environment");
    assert_eq!(play(&mut environment, 9, at_random(9)).steps.len(), 10);
}

/// Each episode draws one of the loads.
#[test]
fn loads_take_turns() {
    let mut config = EnvironmentConfig::default();
    config.loads = vec![0.2, 0.8];
    let mut environment = Environment::new(&scenario(UNLIKE), &config).expect("an environment");
    let lengths: Vec<usize> =
        (0..20).map(|seed| play(&mut environment, seed, at_random(1)).steps.len()).collect();
    let (least, most) = (lengths.iter().min().unwrap(), lengths.iter().max().unwrap());
    assert!(most > &(3 * least), "{lengths:?}");
}

/// Servers of every kind are in use to some part.
#[test]
fn other_servers_are_in_use_in_part() {
    let sharing = UNLIKE.replace("name = \"b\"", "name = \"b\"\nmodel = { ps = { cores = 2 } }");
    let llm = r#"
        name = "llm"
        duration = "20s"
        [traffic]
        rate = 20
        [[classes]]
        name = "chat"
        prompt_tokens = { constant = 500 }
        output_tokens = { constant = 50 }
        [[servers]]
        name = "replica"
        count = 2
        model = { llm = { preset = "mid" } }
    "#;
    for text in [&sharing, llm] {
        let mut environment = environment(text);
        let episode = play(&mut environment, 10, at_random(10));
        assert!(episode.steps.iter().all(|step| (0.0..=1.0).contains(&step.utilization)));
        assert!(episode.steps.iter().any(|step| step.utilization > 0.0));
    }
    let llm = environment(llm);
    assert!(llm.features().iter().any(|feature| feature.name == "prompt_ktokens"));
}

#[test]
fn bad_numbers_are_refused() {
    let refused = |change: &dyn Fn(&mut EnvironmentConfig)| {
        let mut config = EnvironmentConfig::default();
        change(&mut config);
        Environment::new(&scenario(UNLIKE), &config).expect_err("refused").to_string()
    };
    assert_eq!(refused(&|c| c.loads = vec![0.5, 11.0]), "load = 11 must be above 0 and at most 10");
    assert_eq!(refused(&|c| c.time_scale = 0.0), "time_scale = 0 must be seconds above 0");
    assert_eq!(
        refused(&|c| c.weights.error_rate = -1.0),
        "weights.error_rate = -1 must be at least 0 and finite"
    );
    let rated = scenario(&UNLIKE.replace("load = 0.7", "rate = 100"));
    let mut config = EnvironmentConfig::default();
    config.loads = vec![0.5];
    assert!(matches!(Environment::new(&rated, &config), Err(EnvironmentError::NoLoads)));

    let mut environment = environment(UNLIKE);
    assert!(matches!(environment.step(0), Err(EnvironmentError::NotReset)));
    environment.reset(1).expect("an episode");
    let error = environment.step(4).expect_err("refused").to_string();
    assert_eq!(error, "action 4 is no server; there are 4, from 0");
}
