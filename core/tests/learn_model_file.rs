//! The model file: what was written comes back, and nothing else comes in.

mod learn_support;

use std::time::Duration;

use learn_support::{by_label, crossed_model, crossed_parts, millis};
use proptest::prelude::*;
use trimtab_core::learn::{Archetype, MAX_FILE, Model, ModelError, Parts, Window};
use xxhash_rust::xxh64::xxh64;

#[test]
fn a_model_survives_the_file_and_is_the_same_bytes_again() {
    let model = crossed_model();
    let bytes = model.to_bytes();
    let back = Model::from_bytes(&bytes).unwrap();
    assert_eq!(back, model);
    assert_eq!(back.to_bytes(), bytes);
    assert_eq!(back.hash(), model.hash());
    assert_eq!(back.note(), "by hand");
    assert_eq!(Model::read(bytes.as_slice()).unwrap(), model);
}

#[test]
fn what_differs_has_another_hash() {
    let other = Parts { rows: 401, ..crossed_parts() };
    assert_ne!(Model::new(other).unwrap().hash(), crossed_model().hash());
}

#[test]
fn each_kind_of_damage_has_its_name() {
    let bytes = crossed_model().to_bytes();
    let of = |bytes: &[u8]| Model::from_bytes(bytes).unwrap_err();
    assert_eq!(of(b""), ModelError::NotAModel);
    assert_eq!(of(b"PK\x03\x04 a zip file, say"), ModelError::NotAModel);
    let length = bytes.len() as u64;
    assert_eq!(of(&bytes[..5]), ModelError::Truncated { expected: 24, found: 5 });
    let cut = ModelError::Truncated { expected: length, found: length - 1 };
    assert_eq!(of(&bytes[..bytes.len() - 1]), cut);
    let longer = [&bytes[..], b"x"].concat();
    assert_eq!(of(&longer), ModelError::Trailing { expected: length, found: length + 1 });
    let mut newer = bytes.clone();
    newer[8] = 9;
    assert_eq!(of(&newer), ModelError::Version { found: 9, known: 1 });
    let mut flipped = bytes.clone();
    flipped[40] ^= 1;
    assert!(matches!(of(&flipped), ModelError::Checksum { .. }));
    assert_eq!(of(&vec![0; MAX_FILE + 1]), ModelError::TooLarge { limit: MAX_FILE });
    assert!(matches!(of(&sealed(b"{}")), ModelError::Malformed { .. }));
    assert!(matches!(of(&sealed(b"[[[[")), ModelError::Malformed { .. }));
}

/// A source that never ends is given up at the limit, and one that fails says so.
#[test]
fn reading_is_bounded_and_reports_failure() {
    struct Broken;
    impl std::io::Read for Broken {
        fn read(&mut self, _: &mut [u8]) -> std::io::Result<usize> {
            Err(std::io::Error::other("the disk is on fire"))
        }
    }
    assert_eq!(Model::read(std::io::repeat(b'T')), Err(ModelError::TooLarge { limit: MAX_FILE }));
    let error = Model::read(Broken).unwrap_err();
    assert!(matches!(&error, ModelError::Unreadable { .. }), "{error:?}");
    assert!(error.to_string().contains("the disk is on fire"));
}

/// Each unsound part is refused by name, whether it is built or read.
#[test]
fn unsound_parts_are_refused_by_name() {
    let sound = crossed_parts;
    let archetype = |name: &str, members: &[&str]| Archetype {
        name: name.into(),
        members: members.iter().map(Into::into).collect(),
    };
    let with_cell = |service: Duration, slope: f64, rows: u64| {
        let mut cells = sound().cells;
        cells[1] = Some(trimtab_core::learn::CellCost::new(service, slope, rows));
        Parts { cells, ..sound() }
    };
    let ten = Duration::from_millis(10);
    let cases = [
        ("classes", Parts { classes: vec![], cells: vec![], ..sound() }),
        ("classes", Parts { classes: vec!["a".into(), "a".into()], ..sound() }),
        ("classes", Parts { classes: vec!["a".into(), String::new()], ..sound() }),
        ("classes", Parts { classes: vec!["a".into(), "b".repeat(1025)], ..sound() }),
        ("archetypes", Parts { archetypes: vec![], cells: vec![], ..sound() }),
        ("archetypes", Parts { archetypes: vec![archetype("x", &[]); 2], ..sound() }),
        (
            "archetypes",
            Parts {
                archetypes: vec![archetype("x", &["a"]), archetype("y", &["b", "a"])],
                ..sound()
            },
        ),
        ("cells", Parts { cells: sound().cells[1..].to_vec(), ..sound() }),
        ("cells[1]", with_cell(Duration::ZERO, 1.0, 10)),
        ("cells[1]", with_cell(Duration::from_secs(86_401), 1.0, 10)),
        ("cells[1]", with_cell(ten, -0.1, 10)),
        ("cells[1]", with_cell(ten, 1.1, 10)),
        ("cells[1]", with_cell(ten, f64::NAN, 10)),
        ("cells[1]", with_cell(ten, f64::INFINITY, 10)),
        ("cells[1]", with_cell(ten, 1.0, 0)),
        ("cells[1]", with_cell(ten, 1.0, 401)),
        ("window", Parts { window: Window { start: ten, end: Duration::ZERO }, ..sound() }),
        ("note", Parts { note: "n".repeat(1025), ..sound() }),
    ];
    for (field, parts) in cases {
        match Model::new(parts.clone()) {
            Err(ModelError::Field { field: found, .. }) => assert_eq!(found, field, "{parts:?}"),
            other => panic!("{field}: {other:?}"),
        }
    }
}

/// A hostile file with a sound checksum meets the same checks.
#[test]
fn a_valid_checksum_is_no_excuse() {
    let payload = |cells: &str| {
        sealed(
            format!(
                r#"{{"note":"","feature_hash":1,"window_nanos":[0,1],"rows":9,"classes":["a"],
                "archetypes":[{{"name":"x","members":[]}}],"cells":{cells}}}"#
            )
            .as_bytes(),
        )
    };
    assert!(Model::from_bytes(&payload("[[1000,500000,9]]")).is_ok());
    for cells in ["[[1000,1000001,9]]", "[[0,1,9]]", "[[1000,1,10]]", "[]", "[null,null]"] {
        let error = Model::from_bytes(&payload(cells)).unwrap_err();
        assert!(matches!(error, ModelError::Field { .. }), "{cells}: {error:?}");
    }
    for cells in ["[[-1,1,9]]", "[[1e400,1,9]]", "[[NaN,1,9]]", "[[1.5,1,9]]", "{}"] {
        let error = Model::from_bytes(&payload(cells)).unwrap_err();
        assert!(matches!(error, ModelError::Malformed { .. }), "{cells}: {error:?}");
    }
}

fn sealed(payload: &[u8]) -> Vec<u8> {
    let mut bytes = b"TRIMTABQ\x01\x00\x00\x00".to_vec();
    bytes.extend_from_slice(&(payload.len() as u32).to_le_bytes());
    bytes.extend_from_slice(payload);
    bytes.extend_from_slice(&xxh64(&bytes, 0).to_le_bytes());
    bytes
}

prop_compose! {
    fn sound_models()(
        classes in prop::collection::btree_set("[a-z\"\\\\é]{1,6}", 1..5),
        archetypes in 1_usize..4,
        seed in prop::collection::vec((1_u64..10_000, 0.0..=1.0_f64, 1_u64..1000, any::<bool>()), 16),
        (start, length) in (0_u64..1 << 40, 0_u64..1 << 40),
        note in ".{0,40}",
    ) -> Model {
        let cells = classes.len() * archetypes;
        Model::new(Parts {
            classes: classes.into_iter().collect(),
            archetypes: by_label()
                .into_iter()
                .chain([Archetype { name: "cluster-1".into(), members: vec!["a".into()] }])
                .take(archetypes)
                .collect(),
            cells: seed
                .iter()
                .map(|(service, slope, rows, known)| {
                    known.then(|| millis(*service, *slope, *rows))
                })
                .cycle()
                .take(cells)
                .collect(),
            feature_hash: start,
            window: Window {
                start: Duration::from_nanos(start),
                end: Duration::from_nanos(start + length),
            },
            rows: 1000,
            note,
        })
        .unwrap()
    }
}

proptest! {
    #[test]
    fn any_sound_model_survives_the_file(model in sound_models()) {
        prop_assert_eq!(&Model::from_bytes(&model.to_bytes()).unwrap(), &model);
    }

    #[test]
    fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        prop_assert!(Model::from_bytes(&bytes).is_err());
    }

    #[test]
    fn arbitrary_payloads_under_a_valid_checksum_never_panic(
        payload in prop::collection::vec(any::<u8>(), 0..200),
    ) {
        prop_assert!(Model::from_bytes(&sealed(&payload)).is_err());
    }

    #[test]
    fn a_damaged_file_never_loads(
        model in sound_models(),
        place in any::<prop::sample::Index>(),
        damage in 1..=255_u8,
    ) {
        let mut bytes = model.to_bytes();
        let place = place.index(bytes.len());
        bytes[place] ^= damage;
        prop_assert!(Model::from_bytes(&bytes).is_err());
    }

    /// Somebody who computes the checksum anew gets a sound model or an error, never something else.
    #[test]
    fn a_forged_file_is_sound_or_refused(
        model in sound_models(),
        place in any::<prop::sample::Index>(),
        byte in any::<u8>(),
    ) {
        let bytes = model.to_bytes();
        let mut payload = bytes[16..bytes.len() - 8].to_vec();
        let place = place.index(payload.len());
        payload[place] = byte;
        if let Ok(forged) = Model::from_bytes(&sealed(&payload)) {
            for class in 0..forged.classes().len() {
                for archetype in 0..forged.archetypes().len() {
                    if let Some(cell) = forged.cell(class, archetype) {
                        prop_assert!(!cell.service().is_zero());
                        prop_assert!((0.0..=1.0).contains(&cell.slope()));
                        prop_assert!(cell.rows() <= forged.rows());
                    }
                }
            }
            prop_assert_eq!(Model::from_bytes(&forged.to_bytes()).unwrap(), forged);
        }
    }
}
