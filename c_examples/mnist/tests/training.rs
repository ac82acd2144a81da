//! The network learns, and the same bits come out whatever the threads and the instruction set.

use std::sync::{Mutex, MutexGuard, PoisonError};

use clap::Parser as _;
use mnist::cli::Arguments;
use mnist::data::{self, Data};
use mnist::ffi;
use mnist::optimizer::{Model, Optimizer, Preset, State};
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
fn state_in_fewer_bits_is_as_good() {
    let _turn = turn();
    let data = some_digits();
    let runs = train(&data, "--optimizer all,adamw --state f32,bf16,8bit --epochs 4");
    for runs in runs.chunks(3) {
        let name = runs[0].optimizer.name();
        let loss = |run: &Run| run.epochs[3].train.loss;
        let bytes: Vec<_> = runs.iter().map(|run| run.state_bytes).collect();
        println!("{name}: {bytes:?} bytes, {:?}", runs.iter().map(loss).collect::<Vec<_>>());
        for (index, run) in runs.iter().enumerate() {
            assert_eq!(run.state as usize, index, "{name}");
            assert!(loss(run) < 1.1 * loss(&runs[0]), "{name} with {}", run.state.key());
        }
        match runs[0].optimizer {
            Optimizer::Sgd => {
                assert_eq!(bytes, [0; 3]);
                assert!(runs.iter().all(|run| run.hash == runs[0].hash));
            }
            _ => {
                // A tensor has whole blocks of 64 numbers, and this network small tensors.
                assert!(bytes[1] == bytes[0] / 2 && 3 * bytes[2] < bytes[0], "{name}: {bytes:?}");
                assert!(runs[1].hash != runs[0].hash && runs[2].hash != runs[1].hash, "{name}");
            }
        }
    }
}

#[test]
fn seeds_are_summed_up() {
    let _turn = turn();
    let data = some_digits();
    let runs = train(&data, "--optimizer sgd,adam --state 8bit --epochs 1 --seed 5 --seeds 2");
    let seeds: Vec<_> = runs.iter().map(|run| (run.optimizer, run.seed)).collect();
    let (sgd, adam) = (Optimizer::Sgd, Optimizer::Adam);
    assert_eq!(seeds, [(sgd, 5), (sgd, 6), (adam, 5), (adam, 6)]);
    let [one, other] = [2, 3].map(|index: usize| runs[index].epochs[0].train.loss);
    let spread = (one - other).abs() / std::f64::consts::SQRT_2;
    let table = mnist::report::table(&runs);
    assert_eq!(table.lines().count(), 3, "{table}");
    let expected = format!("{:.4} +- {spread:.4}", f64::midpoint(one, other));
    assert!(table.lines().nth(2).unwrap().contains(&expected), "{expected}\n{table}");
}

#[test]
fn threads_do_not_change_the_bits() {
    let _turn = turn();
    let data = some_digits();
    for (size, state) in [("1", "f32"), ("37", "8bit"), ("100", "f32"), ("full", "bf16")] {
        let arguments = format!("--optimizer adam --state {state} --epochs 1 --batch-size {size}");
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
        let arguments = format!("--optimizer {optimizer} --state f32,bf16,8bit --epochs 1");
        let hashes = || train(&data, &arguments).iter().map(|run| run.hash).collect::<Vec<_>>();
        let scalar = hashes();
        for backend in ["neon", "simd128", "avx2", "avx512"] {
            match ffi::force_backend(backend) {
                Ok(()) => assert_eq!(hashes(), scalar, "{optimizer}: {backend}"),
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
    for (arguments, expected) in [
        ("sgd", 0xdd3c_0c5d_c3cb_1ded),
        ("adam", 0x6e52_551a_d540_84eb),
        ("adam --state bf16", 0x4f55_839e_c97c_2946),
        ("adam --state 8bit", 0xcdaf_87fd_b8b3_bb39),
        ("adam --state 8bit --rounding nearest", 0x734a_6e6a_e256_af1d),
    ] {
        let hash = hash(&data, &format!("--epochs 1 --optimizer {arguments}"));
        assert_eq!(hash, expected, "{arguments}: {hash:#018x}");
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

fn trainer(data: &Data, lr: f64, state: State) -> ffi::Trainer<'_> {
    let adam = Optimizer::Adam.settings(Preset::Torch, lr);
    let optimizer = ffi::OptimizerSettings { state: state as i32, ..adam };
    ffi::Trainer::new(data.train(), settings(optimizer), ffi::Threads::Pool).unwrap()
}

fn settings(optimizer: ffi::OptimizerSettings) -> ffi::Settings {
    ffi::Settings::usual(Model::Lenet, 1, optimizer)
}

#[test]
fn steps_may_be_cut_anywhere() {
    let _turn = turn();
    let data = some_digits();
    let mut whole = trainer(&data, 0.01, State::F32);
    whole.steps(40, &mut |_| true).unwrap();
    let mut cut = trainer(&data, 0.01, State::F32);
    for count in [1, 13, 0, 6, 20] {
        cut.steps(count, &mut |_| true).unwrap(); // an epoch has 15
    }
    assert_eq!(cut.hash(), whole.hash());
}

#[test]
fn a_copy_goes_on_as_the_original() {
    let _turn = turn();
    let data = some_digits();
    for state in [State::F32, State::Bits8] {
        let (mut one, mut other) = (trainer(&data, 0.01, state), trainer(&data, 0.5, state));
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
    }

    let one = trainer(&data, 0.01, State::F32);
    let error = trainer(&data, 0.01, State::Bits8).copy_from(&one).unwrap_err().to_string();
    assert!(error.contains("another kind"), "{error}");
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
