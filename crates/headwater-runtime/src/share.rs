//! The fair share: which work an instance should have, from what everybody can see.
//!
//! Each instance decides for itself, on the same leases; that two may decide on the same work at the
//! same moment costs nothing, since the store gives it to one of them.

use std::collections::HashMap;

use headwater_core::{Leases, Work};
use uuid::Uuid;

/// Work that an instance can do, and the id of the definition that doing it needs.
pub(crate) type Doable = (Work, Uuid);

/// The work that `own` should have: what it has, less what others should take, and some of what nobody
/// has. After that no instance has two more than another that could take one over.
pub(crate) fn share(own: Uuid, doable: &[Doable], all: &Leases) -> Vec<Work> {
    let mut counts: HashMap<Uuid, usize> =
        all.instances.iter().map(|instance| (instance.id, 0)).collect();
    counts.insert(own, 0);
    for lease in all.leases.iter().filter(|lease| !lease.left.is_zero()) {
        *counts.entry(lease.owner).or_default() += 1;
    }
    let owner = |work: &Work| all.held(work).map(|lease| lease.owner);
    let (mut mine, free): (Vec<_>, Vec<_>) = doable
        .iter()
        .filter(|(work, _)| owner(work).is_none_or(|owner| owner == own))
        .partition(|(work, _)| owner(work).is_some());
    give(own, &mut mine, &mut counts, all);
    take(own, &mut mine, free, &mut counts, all);
    mine.into_iter().map(|(work, _)| work.clone()).collect()
}

/// The other instances that could do this.
fn others<'a>(own: Uuid, definition: Uuid, all: &'a Leases) -> impl Iterator<Item = Uuid> + 'a {
    let can = move |i: &&headwater_core::Instance| i.id != own && i.runs.contains(&definition);
    all.instances.iter().filter(can).map(|instance| instance.id)
}

/// Gives up what an instance with less should take.
fn give(own: Uuid, mine: &mut Vec<&Doable>, counts: &mut HashMap<Uuid, usize>, all: &Leases) {
    for index in (0..mine.len()).rev() {
        let poorest = others(own, mine[index].1, all).min_by_key(|other| counts[other]);
        if let Some(poorest) = poorest.filter(|poorest| counts[poorest] + 1 < counts[&own]) {
            mine.remove(index);
            *counts.entry(poorest).or_default() += 1;
            *counts.entry(own).or_default() -= 1;
        }
    }
}

/// Takes what is free, unless an instance with less could.
fn take<'a>(
    own: Uuid,
    mine: &mut Vec<&'a Doable>,
    mut free: Vec<&'a Doable>,
    counts: &mut HashMap<Uuid, usize>,
    all: &Leases,
) {
    // Each begins elsewhere, so that they rarely want the same.
    if !free.is_empty() {
        let place = usize::from(own.as_bytes()[15]) % free.len();
        free.rotate_left(place);
    }
    for doable in free {
        if others(own, doable.1, all).all(|other| counts[&own] <= counts[&other]) {
            mine.push(doable);
            *counts.entry(own).or_default() += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use headwater_core::{Instance, Lease};
    use rand::{RngExt as _, SeedableRng as _, rngs::StdRng, seq::SliceRandom as _};

    use super::*;

    fn id(number: usize) -> Uuid {
        Uuid::from_u128(number as u128)
    }

    fn doable(number: usize) -> Doable {
        (Work::live(format!("p{number}")), id(1_000 + number))
    }

    fn instances(running: &[usize], projections: usize) -> Vec<Instance> {
        let runs: Vec<_> = (0..projections).map(|number| doable(number).1).collect();
        let instance = |&n: &usize| Instance {
            id: id(n),
            name: n.to_string(),
            process: String::new(),
            runs: runs.clone(),
        };
        running.iter().map(instance).collect()
    }

    /// What the store makes of it: the first to ask gets what is free.
    fn keep(all: &mut Leases, own: Uuid, wanted: Vec<Work>) {
        all.leases.retain(|lease| lease.owner != own);
        for work in wanted {
            if all.held(&work).is_none() {
                all.leases.push(Lease { work, owner: own, left: Duration::from_secs(1) });
            }
        }
    }

    fn counts(all: &Leases, running: &[usize]) -> Vec<usize> {
        let count = |&n: &usize| all.leases.iter().filter(|lease| lease.owner == id(n)).count();
        running.iter().map(count).collect()
    }

    #[test]
    fn an_instance_alone_takes_all_and_gives_to_one_that_comes() {
        let work: Vec<_> = (0..8).map(doable).collect();
        let mut all = Leases { leases: Vec::new(), instances: instances(&[1], 8) };
        let wanted = share(id(1), &work, &all);
        assert_eq!(wanted.len(), 8);
        keep(&mut all, id(1), wanted);
        all.instances = instances(&[1, 2, 3, 4], 8);
        assert_eq!(share(id(2), &work, &all), [], "nothing is free");
        assert_eq!(share(id(1), &work, &all).len(), 2);
    }

    #[test]
    fn what_only_one_can_do_stays_with_it() {
        let work: Vec<_> = (0..4).map(doable).collect();
        let mut all = Leases { leases: Vec::new(), instances: instances(&[1, 2], 4) };
        all.instances[1].runs.clear();
        let wanted = share(id(1), &work, &all);
        keep(&mut all, id(1), wanted);
        assert_eq!(share(id(1), &work, &all).len(), 4);
    }

    #[test]
    fn instances_that_come_and_go_share_evenly_within_twelve_looks() {
        for seed in 0..300 {
            let mut rng = StdRng::seed_from_u64(seed);
            let projections = rng.random_range(1..12);
            let work: Vec<_> = (0..projections).map(doable).collect();
            let mut all = Leases::default();
            for _ in 0..5 {
                let mut running: Vec<usize> =
                    (1..=8).filter(|_| rng.random_bool(0.5)).chain([9]).collect();
                all.instances = instances(&running, projections);
                all.leases.retain(|lease| running.iter().any(|&n| id(n) == lease.owner));
                for _ in 0..12 {
                    // All look at the same moment, and ask the store one after the other.
                    let seen = all.clone();
                    running.shuffle(&mut rng);
                    for &n in &running {
                        keep(&mut all, id(n), share(id(n), &work, &seen));
                    }
                }
                let counts = counts(&all, &running);
                let (least, most) = (counts.iter().min().unwrap(), counts.iter().max().unwrap());
                assert!(most - least <= 1, "seed {seed}: {projections} as {counts:?}");
                assert_eq!(counts.iter().sum::<usize>(), projections, "seed {seed}: all is done");
            }
        }
    }
}
