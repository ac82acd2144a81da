//! What `cargo xtask budget` counts the instructions of, under Callgrind.
//!
//! Callgrind is told to count in [`measured`] alone, and to write down what it has counted whenever that
//! function ends. This program prints what each of these was: instruction set, rule, what is measured.

use std::hint::black_box;

use anyhow::{Context, Result};
use gradstep::{
    AdamState, AdamW, Backend, BlocksMut, Epilogue, FusedStep, FusedTensor, Gradient, Rule, Values,
    ValuesMut, block_count,
};
use gradstep_benches::{Alignment, Buffers, T, cases};

/// A tensor of a few cache lines, and not whole registers.
const SMALL: usize = 340;

/// The difference of these two is of the loop alone, whole blocks of it.
const LONG: [usize; 2] = [2048, 4096];

fn main() -> Result<()> {
    for name in std::env::args().skip(1) {
        let backend = Backend::ALL.iter().find(|backend| backend.name() == name);
        let backend = backend.with_context(|| format!("{name} is no instruction set"))?;
        backend.force().with_context(|| format!("{name} is not available here"))?;
        count(&name);
        for kind in [Kind::Bf16, Kind::EightBits, Kind::Whole] {
            count_fused(&name, kind);
        }
    }
    Ok(())
}

fn count(backend: &str) {
    for case in cases() {
        let rule = case.name.replace(' ', "_");
        let count = |what: &str, work: &mut dyn FnMut()| {
            measured(work);
            println!("{backend} {rule} {what}");
        };
        case.probe_at(&mut |work| count("at", work));
        for len in [0, 1, SMALL, LONG[0], LONG[1]] {
            let mut buffers = case.buffers(len, Alignment::CACHE_LINE);
            case.probe_apply(&mut buffers, &mut |work| count(&len.to_string(), work));
        }
        let mut list: Vec<_> =
            (0..10).map(|_| case.buffers(SMALL, Alignment::CACHE_LINE)).collect();
        case.probe_apply_list(&mut list, &mut |work| count("list", work));
    }
}

/// Fused steps. Of one rule, since what they add is the same for all.
#[derive(Clone, Copy)]
enum Kind {
    /// State in bfloat16.
    Bf16,
    /// State in 8 bits.
    EightBits,
    /// A moving average, a copy in bfloat16, and the gradient set to zero.
    Whole,
}

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Kind::Bf16 => "adamw_bf16",
            Kind::EightBits => "adamw_8bit",
            Kind::Whole => "adamw_whole",
        }
    }
}

fn count_fused(backend: &str, kind: Kind) {
    let count = |what: &str, work: &mut dyn FnMut()| {
        measured(work);
        println!("{backend} {} {what}", kind.name());
    };
    let rule = black_box(AdamW::default());
    let at = || {
        let step = rule.at(black_box(T)).expect("hyperparameters in their domain");
        step.fuse(Epilogue::default()).expect("an epilogue in its domain")
    };
    count("at", &mut || _ = black_box(at()));
    let step: FusedStep<AdamW> = at();
    for len in [0, 1, SMALL, LONG[0], LONG[1]] {
        let mut storage = Storage::new(len);
        let mut tensor = Some(storage.tensor(kind));
        count(&len.to_string(), &mut || {
            let tensor = tensor.take().expect("counted once");
            step.apply(tensor).expect("a tensor as the rule asks");
        });
    }
    let mut list: Vec<_> = (0..10).map(|_| Storage::new(SMALL)).collect();
    let mut tensors: Vec<_> = list.iter_mut().map(|storage| storage.tensor(kind)).collect();
    count("list", &mut || step.apply_list(&mut tensors).expect("tensors as the rule asks"));
}

/// What a fused step of any kind goes over.
struct Storage {
    f32: Buffers,
    halves: [Vec<u16>; 2],
    codes: [Vec<u32>; 2],
    exponents: [Vec<u8>; 2],
}

impl Storage {
    fn new(len: usize) -> Self {
        let blocks = block_count(len);
        Self {
            f32: Buffers::new(len, 4, Alignment::CACHE_LINE),
            halves: [vec![0; len], vec![0; len]],
            codes: [vec![0; 16 * blocks], vec![0; 16 * blocks]],
            exponents: [vec![0; blocks], vec![0; blocks]],
        }
    }

    fn tensor(&mut self, kind: Kind) -> FusedTensor<'_, AdamW> {
        let (param, grad, [exp_avg, exp_avg_sq, ema, zeroed]) = self.f32.split::<4>();
        let [m, v] = &mut self.halves;
        let ([m_codes, v_codes], [m_exponents, v_exponents]) =
            (&mut self.codes, &mut self.exponents);
        let is_whole = matches!(kind, Kind::Whole);
        let mut copy = None;
        let (exp_avg, exp_avg_sq) = match kind {
            Kind::Bf16 => (ValuesMut::Bf16(m), ValuesMut::Bf16(v)),
            Kind::EightBits => (
                ValuesMut::E4m3(BlocksMut { codes: m_codes, exponents: m_exponents }),
                ValuesMut::E5m3(BlocksMut { codes: v_codes, exponents: v_exponents }),
            ),
            Kind::Whole => {
                copy = Some(ValuesMut::Bf16(m));
                (ValuesMut::F32(exp_avg), ValuesMut::F32(exp_avg_sq))
            }
        };
        FusedTensor {
            param: ValuesMut::F32(param),
            grad: if is_whole {
                Gradient::Zero(ValuesMut::F32(zeroed))
            } else {
                Gradient::Keep(Values::F32(grad))
            },
            state: AdamState { exp_avg, exp_avg_sq, max_exp_avg_sq: None },
            ema: is_whole.then_some(ValuesMut::F32(ema)),
            copy,
            offset: 0,
        }
    }
}

/// What is counted. Its name is in the command line of Callgrind.
#[unsafe(export_name = "gradstep_measured")]
#[inline(never)]
fn measured(work: &mut dyn FnMut()) {
    black_box(work)();
}
