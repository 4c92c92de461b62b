//! Any text is refused or is a model that can be scored, written, and read again as the same.
//!
//! The checksum would stop nearly every change at the door, so each text is tried as it is and with a checksum that fits.

#![no_main]

use libfuzzer_sys::fuzz_target;
use policy::model::describe;
use policy::model::file::{Named, read, sealed, write};
use policy::{ClassId, Job, MAX_NETWORKS, NetworkId, NetworkSet, ShadowMode, Urgency};

fuzz_target!(|bytes: &[u8]| {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    for text in [Some(text.to_owned()), sealed(text)].into_iter().flatten() {
        if let Ok(named) = read(&text) {
            check(&named);
        }
    }
});

fn check(named: &Named) {
    let text = write(named);
    let again = read(&text).expect("what was read can be written and read");
    assert_eq!(write(&again), text);
    for class in (0..named.classes().len().min(4)).map(|place| ClassId(place as u16)).chain([ClassId(u16::MAX)]) {
        for job in probes(class) {
            for network in (0..MAX_NETWORKS).filter_map(NetworkId::new) {
                let prediction = named.model().predict(&job, network);
                assert!(prediction.mean_s.is_finite() && prediction.mean_s > 0.0);
                assert!(prediction.quantiles_s.is_sorted() && prediction.doubt.is_finite());
                assert!(prediction.remaining_s(1.0).is_finite());
            }
            assert!(!named.model().path(&job).is_empty());
        }
        assert!(!describe::tree(named.model(), Some(class)).is_empty());
    }
    assert!(describe::changed_questions(named.model(), again.model(), 20).is_empty());
}

fn probes(class: ClassId) -> impl Iterator<Item = Job> {
    let numbers = [f32::NAN, f32::INFINITY, f32::MIN, -1.0, 0.0, 0.5, 1e3, f32::MAX];
    numbers.into_iter().map(move |number| Job {
        class,
        urgency: Urgency::DEFAULT,
        mode: ShadowMode::On,
        residency: NetworkSet::ALL,
        repeatable: true,
        spoolable: true,
        hold: false,
        last_hop: false,
        located: None,
        leaves_twin: false,
        body_bytes: (number >= 0.0).then_some(number as u64),
        input_bytes: (number > 1.0).then_some(u64::MAX),
        hour: number,
        extracted: [number; policy::job::EXTRACTED],
        draw: 0.5,
    })
}
