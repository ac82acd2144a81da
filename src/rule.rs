//! What an optimizer is: hyperparameters, checked and turned into per-step scalars, and one
//! element's update.
//!
//! A rule knows nothing of slices, instruction sets or C, and the loop in `pass` knows nothing of
//! any rule. They meet in [`Kernel`].

use core::fmt::Debug;

use crate::error::{Argument, Error, ErrorKind, check};
use crate::gradient::{Incoming, WeightDecay};
use crate::pass::Run;
use crate::real::Real;
use crate::step::Step;

/// The most state buffers that a rule has.
pub const MAX_BUFFERS: usize = 3;

/// The buffers of one rule, by position; `None` where this rule or this variant has none.
pub type Buffers<T> = [Option<T>; MAX_BUFFERS];

/// A rule's state: named buffers, each holding a `T`.
///
/// `T` is `&mut [f32]` for a step, a `Vec<f32>` or an array where a caller keeps it, one register
/// for a formula, a raw pointer for C.
pub trait State<T>: Sized {
    /// The state with the buffers that are wanted, each from `make`.
    fn build(wanted: [bool; MAX_BUFFERS], make: impl FnMut() -> T) -> Self;

    /// The buffers in the order of [`Kernel::BUFFERS`].
    fn into_buffers(self) -> Buffers<T>;

    /// The buffers, borrowed, in the same order.
    fn buffers_mut(&mut self) -> Buffers<&mut T>;
}

/// `state!(Name { a, b } { c })`: what every state can do. The rule always has `a` and `b`; `c` is an
/// `Option`.
macro_rules! state {
    ($state:ident { $($always:ident),* } { $($sometimes:ident),* }) => {
        impl<T> $state<T> {
            /// The same buffers, borrowed for a step.
            pub fn as_mut(&mut self) -> $state<&mut [f32]>
            where
                T: AsMut<[f32]>,
            {
                $state {
                    $($always: self.$always.as_mut(),)*
                    $($sometimes: self.$sometimes.as_mut().map(|buffer| buffer.as_mut()),)*
                }
            }
        }

        impl<T> $crate::rule::State<T> for $state<T> {
            fn build(
                wanted: [bool; $crate::rule::MAX_BUFFERS],
                mut make: impl FnMut() -> T,
            ) -> Self {
                let mut wanted = wanted.into_iter();
                $(wanted.next(); let $always = make();)*
                $(let $sometimes = wanted.next().unwrap_or(false).then(&mut make);)*
                Self { $($always,)* $($sometimes),* }
            }

            #[inline(always)]
            fn into_buffers(self) -> $crate::rule::Buffers<T> {
                $crate::rule::padded([$(Some(self.$always),)* $(self.$sometimes),*])
            }

            #[inline(always)]
            fn buffers_mut(&mut self) -> $crate::rule::Buffers<&mut T> {
                $crate::rule::padded([
                    $(Some(&mut self.$always),)*
                    $(self.$sometimes.as_mut()),*
                ])
            }
        }
    };
}
pub(crate) use state;

/// As many buffers as there can be, the last ones absent.
#[inline(always)]
pub(crate) fn padded<T, const N: usize>(buffers: [Option<T>; N]) -> Buffers<T> {
    let mut buffers = buffers.into_iter();
    core::array::from_fn(|_| buffers.next().flatten())
}

/// An optimizer's update rule, with its hyperparameters as fields.
///
/// Implemented by the optimizers of this crate, and by nothing else.
pub trait Rule: Hyperparameters {
    /// The hyperparameters that a source has by default, and its conventions.
    ///
    /// # Errors
    ///
    /// The source has no such rule.
    fn preset(preset: Preset) -> Result<Self, Error> {
        Self::from_source(preset).ok_or(Error::new(ErrorKind::Unavailable, Argument::Preset))
    }

    /// The rule at step `t`, ready to be applied to any number of slices.
    ///
    /// Checks the hyperparameters and computes everything that is the same for all elements, in
    /// f64, once. `t` counts the steps of the training run; the first is 1.
    ///
    /// # Errors
    ///
    /// `t` is 0, or a hyperparameter is outside its domain.
    fn at(&self, t: u64) -> Result<Step<Self>, Error> {
        check::step_count(t)?;
        let kernel = self.kernel(t)?;
        let incoming = Incoming::new(self.weight_decay()?, self.maximize());
        Ok(Step::new(kernel, incoming, self.expects(), t))
    }

    /// One step on one tensor: [`at`](Rule::at), then [`Step::apply`].
    ///
    /// # Errors
    ///
    /// Those of both. Nothing is written then.
    fn step(
        &self,
        t: u64,
        param: &mut [f32],
        grad: &[f32],
        state: StateOf<Self, &mut [f32]>,
    ) -> Result<(), Error> {
        self.at(t)?.apply(param, grad, state)
    }

    /// A state for this rule, with the buffers that these hyperparameters need, each from `make`.
    ///
    /// ```
    /// use gradstep::{Adagrad, Rule};
    ///
    /// let adagrad = Adagrad { initial_accumulator_value: 0.1, ..Adagrad::default() };
    /// let mut param = vec![1.0; 3];
    /// let mut state = adagrad.state(|| vec![0.0; 3]);
    /// adagrad.init(state.as_mut())?;
    /// adagrad.step(1, &mut param, &[1.0, 0.0, -1.0], state.as_mut())?;
    /// assert_eq!(state.sum, [1.1, 0.1, 1.1]);
    /// # Ok::<(), gradstep::Error>(())
    /// ```
    fn state<T>(&self, make: impl FnMut() -> T) -> StateOf<Self, T> {
        State::build(self.expects(), make)
    }

    /// The state, borrowed for a step: `state.as_mut()` for code that is generic over rules.
    ///
    /// ```
    /// use gradstep::{Error, Rule};
    ///
    /// fn minimize<R: Rule>(rule: R, param: &mut [f32], steps: u64) -> Result<(), Error> {
    ///     let mut state = rule.state(|| vec![0.0; param.len()]);
    ///     rule.init(R::lend(&mut state))?;
    ///     for t in 1..=steps {
    ///         let grad: Vec<f32> = param.iter().map(|p| 2.0 * p).collect(); // of the sum of squares
    ///         rule.step(t, param, &grad, R::lend(&mut state))?;
    ///     }
    ///     Ok(())
    /// }
    /// # minimize(gradstep::Adam::default(), &mut [1.0], 3).unwrap();
    /// ```
    fn lend<T: AsMut<[f32]>>(state: &mut StateOf<Self, T>) -> StateOf<Self, &mut [f32]> {
        Self::Kernel::lend(state)
    }

    /// The rule's name, as in the C ABI: `"sgd"`, `"adamw"`.
    fn name() -> &'static str {
        Self::NAME
    }

    /// Fills the state with the values that it starts from: zeros, unless a hyperparameter says
    /// otherwise. The buffers may have any length.
    ///
    /// # Errors
    ///
    /// A hyperparameter is outside its domain, or a buffer is missing or not used. Nothing is
    /// written then.
    fn init(&self, state: StateOf<Self, &mut [f32]>) -> Result<(), Error> {
        self.at(SETTLED)?;
        let buffers = state.into_buffers();
        present_as_expected(&buffers, &Self::Kernel::BUFFERS, self.expects())?;
        for (buffer, value) in buffers.into_iter().zip(self.initial()) {
            if let Some(buffer) = buffer {
                buffer.fill(value);
            }
        }
        Ok(())
    }
}

impl<H: Hyperparameters> Rule for H {}

/// The state of rule `R`, each buffer being a `T`: [`AdamState`](crate::AdamState)`<T>` for
/// [`Adam`](crate::Adam), and so on.
pub type StateOf<R, T> = <<R as Hyperparameters>::Kernel as Kernel>::State<T>;

/// Where a preset's defaults and conventions come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Preset {
    /// `torch.optim`; the default of every rule.
    Torch = 0,
    /// `keras.optimizers`, Keras 3.
    Keras = 1,
    /// Optax.
    Optax = 2,
    /// Christopher, "Deep Learning Optimizers", after A. Géron's "Hands-On Machine Learning".
    Article1 = 3,
    /// Doshi, "Various Optimization Algorithms for Training Neural Network".
    Article2 = 4,
    /// TensorFlow 1's `tf.train`, as Mack, "How to pick the best learning rate for your machine
    /// learning project", uses it.
    Tf1 = 5,
}

impl Preset {
    /// All of them.
    pub const ALL: &'static [Preset] = &[
        Preset::Torch,
        Preset::Keras,
        Preset::Optax,
        Preset::Article1,
        Preset::Article2,
        Preset::Tf1,
    ];

    /// `"torch"`, `"keras"`, `"optax"`, `"article1"`, `"article2"` or `"tf1"`.
    pub const fn name(self) -> &'static str {
        match self {
            Preset::Torch => "torch",
            Preset::Keras => "keras",
            Preset::Optax => "optax",
            Preset::Article1 => "article1",
            Preset::Article2 => "article2",
            Preset::Tf1 => "tf1",
        }
    }
}

/// Where `eps` goes, the term that keeps a denominator from 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum EpsPlacement {
    /// `sqrt(v) + eps`, with Adam's `v` corrected for its bias.
    Outside = 0,
    /// `sqrt(v + eps)`, with Adam's `v` corrected for its bias.
    Inside = 1,
    /// "Epsilon hat", Adam only: `sqrt(v) + eps` with `v` not corrected, and the correction in the
    /// learning rate (Kingma & Ba, 2015, end of section 2).
    Hat = 2,
}

impl EpsPlacement {
    /// All of them.
    pub const ALL: &'static [EpsPlacement] =
        &[EpsPlacement::Outside, EpsPlacement::Inside, EpsPlacement::Hat];
}

/// A rule as its user writes it: hyperparameters, and how they become a [`Kernel`]. Outside the
/// crate it can be named only through [`Rule`].
pub trait Hyperparameters: Copy + Default {
    /// The rule's name, as in the C ABI.
    const NAME: &'static str;

    /// The kernel.
    type Kernel: Kernel;

    /// The defaults and conventions of a source, if it has the rule.
    fn from_source(preset: Preset) -> Option<Self>;

    /// Checks the hyperparameters of the kernel, and computes the scalars of step `t` in f64, each
    /// rounded to f32 once.
    fn kernel(&self, t: u64) -> Result<Self::Kernel, Error>;

    /// Weight decay, checked.
    fn weight_decay(&self) -> Result<WeightDecay, Error>;

    /// Whether to go uphill.
    fn maximize(&self) -> bool;

    /// Which buffers these hyperparameters need.
    fn expects(&self) -> [bool; MAX_BUFFERS] {
        Self::Kernel::BUFFERS.map(|name| name.is_some())
    }

    /// What each buffer starts from.
    fn initial(&self) -> [f32; MAX_BUFFERS] {
        [0.0; MAX_BUFFERS]
    }
}

/// A rule at one step: the scalars that are the same for all elements, and the formula.
pub trait Kernel: Copy + Send + Sync + Debug {
    /// The names of the buffers, in their order.
    const BUFFERS: Buffers<Argument>;

    /// Whether the rule's weight decay is decoupled, and usually there.
    const DECOUPLED: bool = false;

    /// The rule's buffers by name, each holding a `T`.
    type State<T>: State<T>;

    /// The state, borrowed.
    fn lend<T: AsMut<[f32]>>(state: &mut Self::State<T>) -> Self::State<&mut [f32]>;

    /// This kernel, if the choices that branch in [`update`](Kernel::update) are the usual ones, with
    /// those choices as constants: the compiler then makes a loop without them.
    fn usual(self) -> Option<Self>;

    /// The same for a second set of choices that is nearly as usual.
    #[inline(always)]
    fn also_usual(self) -> Option<Self> {
        None
    }

    /// One element's update: the new parameter, with the state changed in place.
    ///
    /// Branches on the scalars are the same for all elements, and cost little.
    fn update<R: Real>(&self, param: R, grad: R, state: Self::State<&mut R>) -> R;

    /// Sends the buffers that are present through the loop, in the [`Layout`] that names them.
    fn run<P: Run<Self>>(pass: P, buffers: Buffers<P::Buffer>);
}

/// Which of a rule's buffers a pass has: `N` of them, and their names.
pub trait Layout<const N: usize> {
    /// The kernel whose buffers they are.
    type Kernel: Kernel;

    /// The buffers by name.
    fn bind<T>(buffers: [T; N]) -> <Self::Kernel as Kernel>::State<T>;
}

/// `layout!(Kernel, [a, b] => State { ... })`: a type whose [`Layout`] puts `a` and `b` into the
/// kernel's state. A kernel with a constant parameter `C` is written `Kernel<C: type>`.
macro_rules! layout {
    ($kernel:ident $(<$constant:ident: $type:ty>)?, [$($buffer:ident),*] => $state:expr) => {{
        struct Named$(<const $constant: $type>)?;

        impl$(<const $constant: $type>)?
            $crate::rule::Layout<{ <[&str]>::len(&[$(stringify!($buffer)),*]) }>
            for Named$(<$constant>)?
        {
            type Kernel = $kernel$(<$constant>)?;

            #[inline(always)]
            fn bind<T>(
                [$($buffer),*]: [T; <[&str]>::len(&[$(stringify!($buffer)),*])],
            ) -> <Self::Kernel as $crate::rule::Kernel>::State<T> {
                $state
            }
        }

        Named$(::<$constant>)?
    }};
}
pub(crate) use layout;

/// Refuses a buffer that is missing, and one that would be ignored.
pub(crate) fn present_as_expected<T>(
    buffers: &Buffers<T>,
    names: &Buffers<Argument>,
    expects: [bool; MAX_BUFFERS],
) -> Result<(), Error> {
    for ((buffer, name), expected) in buffers.iter().zip(names).zip(expects) {
        if let Some(name) = *name
            && buffer.is_some() != expected
        {
            return Err(Error::new(
                if expected { ErrorKind::Missing } else { ErrorKind::Unused },
                name,
            ));
        }
    }
    Ok(())
}

/// A step so late that nothing depends on how late it is: for checks of hyperparameters alone.
pub(crate) const SETTLED: u64 = u64::MAX;

/// `1 - beta^t`, in f64.
///
/// By squaring: multiplications only, so it has the same bits everywhere, and a microcontroller
/// needs no `pow` for it. The error is about that of `beta` itself times `t beta^t`, which stays far
/// below binary32's.
pub(crate) fn bias_correction(beta: f64, mut t: u64) -> f64 {
    let mut base = beta;
    let mut power = 1.0;
    while t > 0 {
        // What is left of `t` would make the power smaller still, and 1 minus it is 1 already.
        // Without this, large `t` would go through denormal numbers, slowly.
        if base < f64::EPSILON / 4.0 {
            return 1.0;
        }
        if t & 1 == 1 {
            power *= base;
        }
        base *= base;
        t >>= 1;
    }
    1.0 - power
}

/// Where `eps` goes, for a rule that corrects no bias.
pub(crate) fn eps_inside(placement: EpsPlacement) -> Result<bool, Error> {
    match placement {
        EpsPlacement::Outside => Ok(false),
        EpsPlacement::Inside => Ok(true),
        EpsPlacement::Hat => Err(Error::new(ErrorKind::Unknown, Argument::EpsPlacement)),
    }
}
