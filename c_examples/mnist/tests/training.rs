//! The network learns, and the same bits come out whatever the threads and the instruction set.

use std::sync::{Mutex, MutexGuard, PoisonError};

use clap::Parser as _;
use mnist::cli::Arguments;
use mnist::data::{self, Data};
use mnist::ffi;
use mnist::optimizer::{Model, Optimizer, Preset};
use mnist::run::{Run, run_all};

/// The instruction set is the whole process's, so one test at a time may train.
fn turn() -> MutexGuard<'static, ()> {
    static TURN: Mutex<()> = Mutex::new(());
    TURN.lock().unwrap_or_else(PoisonError::into_inner)
}

/// 1,500 digits of the built-in subset; the rest is for testing.
fn some_digits() -> Data {
    data::load(None, Some(8_500.try_into().unwrap())).unwrap()
}

fn train(data: &Data, arguments: &str) -> Vec<Run> {
    let arguments = ["demo"].into_iter().chain(arguments.split_whitespace());
    run_all(&Arguments::parse_from(arguments).train, data).unwrap()
}

fn hash(data: &Data, arguments: &str) -> u64 {
    train(data, arguments)[0].hash
}

#[test]
fn backward_agrees_with_finite_differences() {
    for (model, name) in ["LeNet 4-8-18", "LeNet 3-5-7", "TF"].iter().enumerate() {
        let worst = ffi::worst_gradient_error(model as i32);
        println!("{name}: {worst:e}");
        assert!(worst < 1e-6, "{name}: {worst}");
    }
}

#[test]
fn every_optimizer_learns() {
    let _turn = turn();
    let data = some_digits();
    let runs = train(&data, "--optimizer all,adamw --epochs 4");
    assert_eq!(runs.len(), 8);
    for run in &runs {
        let (first, last) = (&run.epochs[0], &run.epochs[3]);
        let name = run.optimizer.name();
        assert!(
            last.train.loss < 0.6 * first.train.loss,
            "{name}: {} to {}",
            first.train.loss,
            last.train.loss
        );
        assert!(last.test.accuracy > 0.8, "{name}: {}", last.test.accuracy);
        assert_eq!(run.steps.len(), 60, "{name}");
        assert_eq!(run.diverged, None, "{name}");
    }
    // All start from the same weights with the same batch.
    assert!(runs.iter().all(|run| run.steps[0].loss.to_bits() == runs[0].steps[0].loss.to_bits()));
    // And no two are the same rule.
    for (index, run) in runs.iter().enumerate() {
        assert!(
            runs[..index].iter().all(|other| other.hash != run.hash),
            "{}",
            run.optimizer.name()
        );
    }
}

#[test]
fn threads_do_not_change_the_bits() {
    let _turn = turn();
    let data = some_digits();
    for size in ["1", "37", "100", "full"] {
        let arguments = format!("--optimizer adam --epochs 1 --batch-size {size}");
        let one = hash(&data, &format!("{arguments} --threads 1"));
        for threads in [2, 3, 8] {
            assert_eq!(
                hash(&data, &format!("{arguments} --threads {threads}")),
                one,
                "{arguments}: {threads}"
            );
        }
    }
}

#[test]
fn instruction_sets_do_not_change_the_bits() {
    let _turn = turn();
    let data = some_digits();
    let best = ffi::backend();
    for optimizer in
        ["sgd", "momentum", "nesterov", "adagrad", "rmsprop", "adadelta", "adam", "adamw"]
    {
        ffi::force_backend("scalar").unwrap();
        let arguments = format!("--optimizer {optimizer} --epochs 1");
        let scalar = hash(&data, &arguments);
        for backend in ["neon", "simd128", "avx2", "avx512"] {
            match ffi::force_backend(backend) {
                Ok(()) => assert_eq!(hash(&data, &arguments), scalar, "{optimizer}: {backend}"),
                Err(_) => println!("{optimizer}: this machine has no {backend}"),
            }
        }
    }
    ffi::force_backend(&best).unwrap();
}

/// Pinned, so that every machine, compiler and version is held to the same weights. They change with the network, the
/// order of the digits, or a rule's arithmetic: then look whether that was meant.
#[test]
fn the_bits_are_these() {
    let _turn = turn();
    let data = some_digits();
    for (optimizer, expected) in [("sgd", 0xdd3c_0c5d_c3cb_1ded), ("adam", 0x6e52_551a_d540_84eb)] {
        let hash = hash(&data, &format!("--optimizer {optimizer} --epochs 1"));
        assert_eq!(hash, expected, "{optimizer}: {hash:#018x}");
    }
}

#[test]
fn the_seed_decides() {
    let _turn = turn();
    let data = some_digits();
    let run = |seed| hash(&data, &format!("--optimizer adam --epochs 1 --seed {seed}"));
    assert_eq!(run(5), run(5));
    assert_ne!(run(5), run(6));
}

#[test]
fn batch_sizes_are_the_three_forms_of_gradient_descent() {
    let _turn = turn();
    let data = some_digits();
    for (size, steps) in [("1", 1_500), ("64", 24), ("full", 1), ("1000000", 1)] {
        let runs =
            train(&data, &format!("--optimizer sgd --lr 0.01 --epochs 1 --batch-size {size}"));
        assert_eq!(runs[0].steps.len(), steps, "{size}");
    }
}

#[test]
fn divergence_is_noticed() {
    let _turn = turn();
    let data = some_digits();
    let runs = train(&data, "--optimizer sgd --lr 1e30 --epochs 3");
    assert!(runs[0].diverged.is_some());
    assert!(mnist::report::table(&runs).contains("diverged at step"));
}

#[test]
fn gradstep_refuses_what_it_must() {
    let _turn = turn();
    let data = some_digits();
    let options = Arguments::parse_from(["demo", "--optimizer", "adam", "--lr=-1"]).train;
    let error = format!("{:#}", run_all(&options, &data).unwrap_err());
    assert!(error.contains("lr"), "{error}");
}

#[test]
fn the_demo_compares_seven() {
    assert_eq!(Arguments::parse_from(["demo"]).train.optimizers().len(), 7);
    assert_eq!(Arguments::parse_from(["demo"]).train.optimizers()[0], Optimizer::Adam);
    let two = Arguments::parse_from(["demo", "-o", "momentum,sgd,sgd"]).train.optimizers();
    assert_eq!(two, [Optimizer::Momentum, Optimizer::Sgd]);
}

fn trainer(data: &Data, lr: f64) -> ffi::Trainer<'_> {
    let optimizer = Optimizer::Adam.settings(Preset::Torch, lr);
    ffi::Trainer::new(data.train(), settings(optimizer), ffi::Threads::Pool).unwrap()
}

fn settings(optimizer: ffi::OptimizerSettings) -> ffi::Settings {
    ffi::Settings::usual(Model::Lenet, 1, optimizer)
}

#[test]
fn steps_may_be_cut_anywhere() {
    let _turn = turn();
    let data = some_digits();
    let mut whole = trainer(&data, 0.01);
    whole.steps(40, &mut |_| true).unwrap();
    let mut cut = trainer(&data, 0.01);
    for count in [1, 13, 0, 6, 20] {
        cut.steps(count, &mut |_| true).unwrap(); // an epoch has 15
    }
    assert_eq!(cut.hash(), whole.hash());
}

#[test]
fn a_copy_goes_on_as_the_original() {
    let _turn = turn();
    let data = some_digits();
    let (mut one, mut other) = (trainer(&data, 0.01), trainer(&data, 0.5));
    for trainer in [&mut one, &mut other] {
        trainer.steps(20, &mut |_| true).unwrap();
    }
    other.copy_from(&one).unwrap();
    other.set_lr(0.01);
    assert_eq!(other.hash(), one.hash());
    for trainer in [&mut one, &mut other] {
        trainer.steps(20, &mut |_| true).unwrap();
    }
    assert_eq!(other.hash(), one.hash());

    let sgd = settings(Optimizer::Sgd.settings(Preset::Torch, 0.1));
    let mut another = ffi::Trainer::new(data.train(), sgd, ffi::Threads::Pool).unwrap();
    let error = another.copy_from(&one).unwrap_err().to_string();
    assert!(error.contains("another kind"), "{error}");
    let adam = settings(Optimizer::Adam.settings(Preset::Torch, 0.1));
    let mut wider =
        ffi::Trainer::new(data.train(), ffi::Settings { conv2: 9, ..adam }, ffi::Threads::Pool)
            .unwrap();
    let error = wider.copy_from(&one).unwrap_err().to_string();
    assert!(error.contains("another network"), "{error}");
}
