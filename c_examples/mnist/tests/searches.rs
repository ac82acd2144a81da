//! Grid search and population based training with the network: what they promise, and what is made of their tables.

use std::fs;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};

use mnist::experiments::learner::{Learner, finite};
use mnist::experiments::{grid, pbt};
use mnist::lab::{self, Job, Lab};
use mnist::optimizer::{Model, Optimizer, Preset};
use mnist::search::Trainee as _;
use mnist::search::pbt::Settings;

fn folder(name: &str) -> PathBuf {
    let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    let _ = fs::remove_dir_all(&dir); // of an earlier test, if there was one
    fs::create_dir_all(&dir).unwrap();
    dir
}

fn lab(dir: &Path, threads: usize) -> Lab {
    Lab::new(lab::Options {
        quick: true,
        preset: Preset::Tf1,
        model: Model::Lenet,
        seed: 1,
        threads: NonZeroUsize::new(threads),
        data: None,
        out: Some(dir.to_owned()),
    })
    .unwrap()
}

fn settings() -> Settings {
    Settings {
        ready_every: 5,
        rounds: 5,
        losers: 2,
        winners: 2,
        perturb: vec![0.8, 1.2],
        redraw: 0.25,
        exploit: true,
        explore: true,
    }
}

/// A population of six as a run of the journal; how often it was trained is counted.
fn population(lab: &Lab, trained: &std::sync::atomic::AtomicUsize) -> Vec<pbt::Row> {
    let job = Job { key: "six".into(), steps: 150, task: () };
    let mut runs = lab.run("six", &[job], |(), ticket| {
        trained.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let history = pbt::train(lab, Optimizer::Adam, 1, 6, &settings(), ticket)?;
        Ok(pbt::rows(&history, Optimizer::Adam, 1, pbt::Variant::Pbt))
    });
    runs.as_mut().unwrap().remove(0)
}

#[test]
fn threads_change_nothing_and_a_finished_population_is_not_trained_again() {
    let trained = 0.into();
    let all: Vec<Vec<pbt::Row>> = [1, 2, 3]
        .into_iter()
        .map(|threads| {
            let dir = folder(&format!("population-{threads}"));
            let rows = population(&lab(&dir, threads), &trained);
            let again = population(&lab(&dir, threads), &trained);
            assert_eq!(format!("{rows:?}"), format!("{again:?}"));
            rows
        })
        .collect();
    assert_eq!(trained.into_inner(), 3);
    for rows in &all[1..] {
        assert_eq!(format!("{rows:?}"), format!("{:?}", all[0]));
    }
    assert_eq!(all[0].len(), 6 * 5);
    assert!(all[0].iter().any(|row| row.parent.is_some()));
    assert!(all[0].iter().all(|row| row.best >= row.val_acc && row.best >= row.median));
    // The member that reads most after 25 steps has learned something.
    assert!(all[0].last().unwrap().best > Some(0.3), "{:?}", all[0].last());
}

#[test]
fn a_member_goes_on_as_its_parent() {
    let dir = folder("parents");
    let lab = lab(&dir, 2);
    let settings = Settings { ready_every: 40, rounds: 2, explore: false, ..settings() };
    let job = Job { key: "parents".into(), steps: 480, task: () };
    let runs = lab.run("parents", &[job], |(), ticket| {
        let history = pbt::train(&lab, Optimizer::Adam, 1, 6, &settings, ticket)?;
        Ok(pbt::rows(&history, Optimizer::Adam, 1, pbt::Variant::Exploit))
    });
    let rows = &runs.unwrap()[0];
    let (first, second) = rows.split_at(6);
    for child in second.iter().filter(|row| row.parent.is_some()) {
        let parent = child.parent.unwrap();
        assert_eq!(child.event, "copy");
        assert_eq!(child.lr, first[parent].lr);
        // Both see the same digits in the same order, so without exploring they stay the same.
        assert_eq!(child.val_acc, second[parent].val_acc);
    }
    assert_eq!(second.iter().filter(|row| row.parent.is_some()).count(), 2);
}

#[test]
fn a_diverged_member_is_the_worst_until_it_copies_another() {
    let dir = folder("diverged");
    let lab = lab(&dir, 1);
    let job = Job { key: "diverged".into(), steps: 60, task: () };
    let runs: Vec<[Option<f64>; 4]> = lab
        .run("diverged", &[job], |(), ticket| {
            let learner = |lr| Learner::new(&lab, Optimizer::Sgd, 1, lr, ticket);
            let (mut good, mut bad) = (learner(0.1)?, learner(1e30)?);
            good.train(&[0.1], 10)?;
            bad.train(&[1e30], 10)?;
            let diverged = bad.score()?;
            bad.train(&[0.1], 10)?; // a better rate is of no help any more
            let still = bad.score()?;
            bad.copy_from(&good)?;
            let copied = bad.score()?;
            bad.train(&[0.1], 10)?;
            assert!(bad.score()?.is_finite());
            Ok([finite(diverged), finite(still), finite(copied), finite(good.score()?)])
        })
        .unwrap();
    let [diverged, still, copied, good] = runs[0];
    assert_eq!((diverged, still), (None, None));
    assert!(good.is_some());
    assert_eq!(copied, good);
}

fn grid_row(k: i32, step: u64, val: Option<f64>) -> grid::Row {
    let lr = 10f64.powi(k);
    grid::Row { opt: "sgd".into(), seed: 1, k: 6 * k, lr, step, val }
}

#[test]
fn the_best_of_a_grid_has_not_diverged() {
    let rows = [
        grid_row(-2, 10, Some(0.2)),
        grid_row(-2, 20, Some(0.9)),
        grid_row(-1, 10, Some(0.8)),
        grid_row(-1, 20, Some(0.9)),
        grid_row(1, 10, Some(0.95)),
        grid_row(1, 20, None),
    ];
    let best = |step| grid::best(&rows, 1, step).map(|best| (best.lr, best.val, best.total_steps));
    assert_eq!(best(10), Some((10.0, 0.95, 30)));
    assert_eq!(best(20), Some((0.01, 0.9, 60)));
    assert_eq!(best(30), None);
    assert!(grid::best(&rows, 2, 10).is_none());

    let dir = folder("grid");
    lab::write_csv(&dir.join("grid.csv"), rows).unwrap();
    let section = grid::show(&dir).unwrap();
    assert_eq!(section.checks[0].holds, Some(false)); // two of three read 90 %
    assert!(dir.join("grid.svg").exists() && dir.join("grid.png").exists());
}

fn row(
    seed: u64,
    variant: pbt::Variant,
    round: usize,
    member: usize,
    val_acc: Option<f64>,
) -> pbt::Row {
    pbt::Row {
        opt: "sgd".into(),
        seed,
        variant,
        round,
        member,
        parent: (round == 2 && member == 1 && variant == pbt::Variant::Pbt).then_some(0),
        event: if round == 1 { "start" } else { "perturb" }.into(),
        lr: 0.1,
        step: 10 * round as u64,
        val_acc,
        best: val_acc,
        median: val_acc,
    }
}

#[test]
fn claims_are_those_of_the_tables() {
    use pbt::Variant::{Exploit, Explore, Neither, Pbt};
    let dir = folder("claims");
    let write = |seeds: u64, grid_best: f64, pbt_best: f64, exploit_best: Option<f64>| {
        let ends =
            [(Pbt, Some(pbt_best)), (Exploit, exploit_best), (Explore, None), (Neither, Some(0.5))];
        let population = |seed, variant, end| {
            [(1, 0, Some(0.6)), (1, 1, None), (2, 0, Some(0.1)), (2, 1, end)]
                .map(|(round, member, val)| row(seed, variant, round, member, val))
        };
        let rows = (1..=seeds)
            .flat_map(|seed| ends.map(|(variant, end)| population(seed, variant, end)))
            .flatten();
        lab::write_csv(&dir.join("pbt.csv"), rows).unwrap();
        let val = |k: i32| (k > 0).then_some(grid_best - 0.1 * f64::from(k - 1));
        let grid = (1..=seeds)
            .flat_map(|seed| (0..6).map(move |k| grid::Row { seed, ..grid_row(k, 20, val(k)) }));
        lab::write_csv(&dir.join("pbt-grid.csv"), grid).unwrap();
        pbt::show(&dir).unwrap()
    };
    let holds = |section: &mnist::experiments::Section| -> Vec<bool> {
        section.checks.iter().filter_map(|check| check.holds).collect()
    };
    // Half a point, a third of the steps, the best member, the middle member.
    assert_eq!(holds(&write(3, 0.9, 0.9, None)), [true, true, true, true]);
    assert_eq!(holds(&write(3, 0.9, 0.896, Some(0.896))), [true, true, false, false]);
    let section = write(3, 0.9, 0.89, Some(0.95));
    assert_eq!(holds(&section), [false, true, false, false]);
    assert_eq!(holds(&write(2, 0.9, 0.9, None)), [true, true]); // no claim about means
    assert!(section.text().contains("89.00 % against 90.00 %"), "{}", section.text());
    for picture in &section.pictures {
        assert!(dir.join(format!("{}.svg", picture.stem)).exists());
        assert!(dir.join(format!("{}.png", picture.stem)).exists());
    }

    let rows = [row(1, Pbt, 1, 0, None), row(1, Pbt, 2, 1, None)];
    lab::write_csv(&dir.join("pbt.csv"), rows).unwrap();
    let error = format!("{:#}", pbt::show(&dir).unwrap_err());
    assert_eq!(error, "pbt.csv: seed 1, exploit and explore: round 2 is not whole");
    let error = fs::remove_file(dir.join("pbt-grid.csv")).map(|()| pbt::show(&dir).unwrap_err());
    assert!(format!("{:#}", error.unwrap()).contains("pbt-grid.csv"));
}
