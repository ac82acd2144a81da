//! Which argument was refused, and why.

use core::fmt;

/// A refused call. Nothing was written.
///
/// Four bytes without text, so that a microcontroller that never prints it pays nothing for the
/// words; `Display` gives the sentence:
///
/// ```
/// use gradstep::{Adam, ErrorKind, Argument, Rule};
///
/// let error = Adam { beta2: 1.0, ..Adam::default() }.at(1).unwrap_err();
/// assert_eq!(error.argument(), Argument::Beta2);
/// assert_eq!(error.kind(), ErrorKind::NotInUnitInterval);
/// assert_eq!(error.to_string(), "beta2 must be at least 0 and less than 1");
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Error {
    kind: ErrorKind,
    argument: Argument,
    /// The tensor's place in a list, counted from 1; 0 is none.
    tensor: u16,
}

impl Error {
    /// The last place in a list that an error can tell from the next one.
    const LAST_TENSOR: u16 = 0x7fff;

    pub(crate) const fn new(kind: ErrorKind, argument: Argument) -> Self {
        Self { kind, argument, tensor: 0 }
    }

    /// The same error, of the tensor at `index`.
    pub(crate) fn of_tensor(self, index: usize) -> Self {
        let place = index.saturating_add(1).min(Self::LAST_TENSOR.into());
        Self { tensor: place as u16, ..self }
    }

    /// Why the argument was refused.
    pub const fn kind(self) -> ErrorKind {
        self.kind
    }

    /// The argument that was refused.
    pub const fn argument(self) -> Argument {
        self.argument
    }

    /// The index of the tensor, if the argument belongs to one of a list; 32,766 stands for all
    /// from there on.
    pub const fn tensor(self) -> Option<usize> {
        match self.tensor {
            0 => None,
            place => Some(place as usize - 1),
        }
    }

    /// As a number for C: the kind, the argument, and the tensor's place, in 8, 8 and 15 bits.
    #[cfg(feature = "capi")]
    pub(crate) const fn status(self) -> i32 {
        (self.tensor as i32) << 16 | (self.argument as i32) << 8 | self.kind as i32
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (name, message) = (self.argument.name(), self.kind.message());
        match self.tensor() {
            None => write!(f, "{name} {message}"),
            Some(index) => write!(f, "tensor {index}: {name} {message}"),
        }
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Error({self})")
    }
}

impl core::error::Error for Error {}

/// Declares an enum whose variants have a number, fixed for the C ABI, and a text.
macro_rules! named {
    ($(#[$enum_doc:meta])* $enum:ident, $(#[$text_doc:meta])* $text:ident,
     $($(#[$doc:meta])* $variant:ident = $number:literal $text_of_variant:literal,)*) => {
        $(#[$enum_doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[repr(u8)]
        #[non_exhaustive]
        pub enum $enum {
            $($(#[$doc])* $variant = $number,)*
        }

        impl $enum {
            /// All of them, in the order of their numbers.
            pub const ALL: &'static [Self] = &[$(Self::$variant),*];

            $(#[$text_doc])*
            pub const fn $text(self) -> &'static str {
                match self.c_str().to_str() {
                    Ok(text) => text,
                    Err(_) => "",
                }
            }

            /// The same, for C.
            pub(crate) const fn c_str(self) -> &'static core::ffi::CStr {
                match self {
                    $(Self::$variant => $text_of_variant,)*
                }
            }

            /// The variant with this number.
            #[cfg(feature = "capi")]
            pub(crate) fn from_number(number: i32) -> Option<Self> {
                Self::ALL.iter().copied().find(|&variant| variant as i32 == number)
            }
        }
    };
}

named! {
    /// Why an argument was refused.
    ErrorKind,
    /// The reason, as the rest of a sentence that starts with the argument's name.
    message,
    /// A pointer is null (C only).
    Null = 1 c"must not be a null pointer",
    /// A pointer is not aligned to its type (C only).
    Misaligned = 2 c"must be aligned to its type",
    /// A slice that is written shares memory with another slice (C only).
    Overlap = 3 c"must not overlap another slice of the call",
    /// The length in bytes does not fit the address space (C only).
    TooLong = 4 c"must be a length that fits the address space",
    /// A slice's length is not that of `param`.
    Length = 5 c"must be as long as param",
    /// The hyperparameters need this buffer.
    Missing = 6 c"is needed by these hyperparameters",
    /// The hyperparameters have no use for this buffer.
    Unused = 7 c"is not used by these hyperparameters and must be absent",
    /// Not a finite binary32 number, or negative.
    NotNonNegative = 8 c"must be finite and at least 0",
    /// Not a finite binary32 number.
    NotFinite = 9 c"must be finite",
    /// Outside [0, 1).
    NotInUnitInterval = 10 c"must be at least 0 and less than 1",
    /// Outside [0, 1].
    NotAFraction = 11 c"must be at least 0 and at most 1",
    /// NaN, or negative.
    NotABound = 12 c"must be at least 0, and not NaN",
    /// A count that starts at 1 is 0.
    Zero = 13 c"must be at least 1",
    /// Nesterov's momentum is defined for a momentum above 0 and no dampening.
    NesterovNeedsMomentum = 14 c"needs a momentum above 0 and no dampening",
    /// Not one of the values that this field may have.
    Unknown = 15 c"has a value that is not defined",
    /// The source has no such rule, or the machine no such instruction set.
    Unavailable = 16 c"is not available here",
    /// `size` is not that of a version of this struct.
    WrongSize = 17 c"is not the size of this struct",
    /// The chunk's number is not below the number of chunks.
    OutOfRange = 18 c"must be less than the number of chunks",
    /// Not zero.
    NotZero = 19 c"must be 0",
    /// Not a normal binary32 number above 0.
    NotNormal = 20 c"must be above 0, finite, and not denormal",
    /// Not above 1, or not finite.
    NotAboveOne = 21 c"must be above 1 and finite",
    /// Outside (0, 1).
    NotBetweenZeroAndOne = 22 c"must be above 0 and below 1",
    /// A gradient has a NaN or an infinity: the step should be skipped.
    GradNotFinite = 23 c"is not finite: a gradient has a NaN or an infinity",
    /// Not one of the formats that this buffer may have.
    Format = 24 c"must have a format that this buffer may have",
    /// There are not 16 words of codes and one exponent for each block of 64 numbers.
    BlockCount = 25 c"must have 16 words and one exponent for each 64 elements of param",
    /// Not a multiple of 256.
    NotAMultiple = 26 c"must be a multiple of 256",
    /// The largest value is less than the least one, or one of them is NaN.
    NotAnInterval = 27 c"must be at least param_min, and neither may be NaN",
}

named! {
    /// An argument, a field of the hyperparameters, or a buffer.
    Argument,
    /// Its name, as it is written in a call.
    name,
    /// The step count.
    T = 1 c"t",
    /// The parameters.
    Param = 2 c"param",
    /// The gradient.
    Grad = 3 c"grad",
    /// Momentum's average of gradients.
    MomentumBuffer = 4 c"momentum_buffer",
    /// AdaGrad's sum of squared gradients.
    Sum = 5 c"sum",
    /// The average of squared gradients.
    SquareAvg = 6 c"square_avg",
    /// The average of gradients.
    GradAvg = 7 c"grad_avg",
    /// AdaDelta's average of squared updates.
    AccDelta = 8 c"acc_delta",
    /// Adam's first moment.
    ExpAvg = 9 c"exp_avg",
    /// Adam's second moment.
    ExpAvgSq = 10 c"exp_avg_sq",
    /// AMSGrad's largest second moment.
    MaxExpAvgSq = 11 c"max_exp_avg_sq",
    /// The learning rate.
    Lr = 12 c"lr",
    /// The momentum's decay.
    Momentum = 13 c"momentum",
    /// The momentum's dampening.
    Dampening = 14 c"dampening",
    /// The weight decay.
    WeightDecay = 15 c"weight_decay",
    /// AdaGrad's decay of the learning rate.
    LrDecay = 16 c"lr_decay",
    /// The term that keeps a denominator from 0.
    Eps = 17 c"eps",
    /// What AdaGrad's sum starts from.
    InitialAccumulatorValue = 18 c"initial_accumulator_value",
    /// What RMSProp's average of squares starts from.
    InitialSquareAvg = 19 c"initial_square_avg",
    /// RMSProp's decay.
    Alpha = 20 c"alpha",
    /// AdaDelta's decay.
    Rho = 21 c"rho",
    /// Adam's decay of the first moment.
    Beta1 = 22 c"beta1",
    /// Adam's decay of the second moment.
    Beta2 = 23 c"beta2",
    /// Whether the momentum is Nesterov's.
    Nesterov = 24 c"nesterov",
    /// Whether the learning rate is inside the momentum.
    LrInside = 25 c"lr_inside",
    /// Whether RMSProp is centered.
    Centered = 26 c"centered",
    /// Which AMSGrad.
    Amsgrad = 27 c"amsgrad",
    /// Where `eps` goes.
    EpsPlacement = 28 c"eps_placement",
    /// Whether to maximize.
    Maximize = 29 c"maximize",
    /// The gradient's factor.
    GradScale = 30 c"grad_scale",
    /// The gradient's bound.
    GradClamp = 31 c"grad_clamp",
    /// The hyperparameters (C only).
    Hyper = 32 c"hyper",
    /// The options (C only).
    Options = 33 c"options",
    /// The options' `size` (C only).
    Size = 34 c"size",
    /// The number of elements (C only).
    N = 35 c"n",
    /// The number of tensors (C only).
    Count = 36 c"count",
    /// The list of tensors (C only).
    Tensors = 37 c"tensors",
    /// The preset.
    Preset = 38 c"preset",
    /// The instruction set.
    Backend = 39 c"backend",
    /// The number of chunks.
    Chunks = 40 c"chunks",
    /// The chunk's number.
    Index = 41 c"index",
    /// Where a chunk begins (C only).
    Begin = 42 c"begin",
    /// Where a chunk ends (C only).
    End = 43 c"end",
    /// A field without a meaning yet (C only).
    Reserved = 44 c"reserved",
    /// The gradient's norm.
    Norm = 45 c"norm",
    /// The bound of the gradient's norm.
    MaxNorm = 46 c"max_norm",
    /// What the loss was multiplied by.
    LossScale = 47 c"loss_scale",
    /// The loss scale at this step.
    Scale = 48 c"scale",
    /// What the loss scale is multiplied by to grow.
    GrowthFactor = 49 c"growth_factor",
    /// What the loss scale is multiplied by to back off.
    BackoffFactor = 50 c"backoff_factor",
    /// How many gradients must be finite before the loss scale grows.
    GrowthInterval = 51 c"growth_interval",
    /// The norm that is merged (C only).
    Other = 52 c"other",
    /// Whether the gradient is finite (C only).
    Finite = 53 c"finite",
    /// Where a number goes (C only).
    Value = 54 c"value",
    /// Where the gradient's factor goes (C only).
    Factor = 55 c"factor",
    /// Where it goes whether to take the step (C only).
    Take = 56 c"take",
    /// The moving average of the parameters.
    Ema = 57 c"ema",
    /// The copy of the parameters.
    Copy = 58 c"copy",
    /// How much of the parameters' average is kept.
    EmaDecay = 59 c"ema_decay",
    /// The parameters' bounds.
    ParamMax = 60 c"param_max",
    /// The index of a tensor's first element.
    Offset = 61 c"offset",
    /// Numbers in one of the formats.
    Values = 62 c"values",
    /// The epilogue (C only).
    Epilogue = 63 c"epilogue",
    /// How numbers are rounded (C only).
    Rounding = 64 c"rounding",
    /// Whether the gradient is zeroed (C only).
    ZeroGrad = 65 c"zero_grad",
    /// Numbers to be read or written (C only).
    Numbers = 66 c"numbers",
}

impl Argument {
    /// Whether the buffer holds averages or sums of squares, which are not negative.
    pub(crate) const fn is_of_squares(self) -> bool {
        use Argument::*;
        matches!(self, Sum | SquareAvg | AccDelta | ExpAvgSq | MaxExpAvgSq)
    }
}

/// The checks of hyperparameters, which are `f64` but reach the loop as `f32`: what is finite
/// must still be so there.
pub(crate) mod check {
    use super::{Argument, Error, ErrorKind};

    #[inline]
    fn require(holds: bool, kind: ErrorKind, argument: Argument) -> Result<(), Error> {
        if holds { Ok(()) } else { Err(Error::new(kind, argument)) }
    }

    /// Whether `0 <= x < limit`. Numbers that are not negative have the order of their bits, so
    /// this costs no call where f64 is not computed by instructions.
    #[inline]
    fn from_zero_below(x: f64, limit: f64) -> bool {
        x.to_bits() < limit.to_bits() || x.to_bits() == (-0.0_f64).to_bits()
    }

    /// The least number that becomes an infinity in binary32: half a step beyond the last one.
    const TOO_LARGE: f64 = f32::MAX as f64 + (1_u128 << 103) as f64;

    pub(crate) fn non_negative(x: f64, argument: Argument) -> Result<(), Error> {
        require(from_zero_below(x, TOO_LARGE), ErrorKind::NotNonNegative, argument)
    }

    pub(crate) fn finite(x: f64, argument: Argument) -> Result<(), Error> {
        require(from_zero_below(x.abs(), TOO_LARGE), ErrorKind::NotFinite, argument)
    }

    /// A number computed from hyperparameters that are finite each, as the loop gets it.
    pub(crate) fn rounded(x: f64, argument: Argument) -> Result<f32, Error> {
        finite(x, argument)?;
        Ok(x as f32)
    }

    pub(crate) fn fraction(x: f64, argument: Argument) -> Result<(), Error> {
        require(from_zero_below(x, 1.0_f64.next_up()), ErrorKind::NotAFraction, argument)
    }

    pub(crate) fn unit_interval(x: f64, argument: Argument) -> Result<(), Error> {
        require(from_zero_below(x, 1.0), ErrorKind::NotInUnitInterval, argument)
    }

    pub(crate) fn bound(x: f64, argument: Argument) -> Result<(), Error> {
        let holds = from_zero_below(x, f64::INFINITY) || x == f64::INFINITY;
        require(holds, ErrorKind::NotABound, argument)
    }

    /// A number that is normal in binary32.
    pub(crate) fn normal(x: f64, argument: Argument) -> Result<(), Error> {
        let normal = f64::from(f32::MIN_POSITIVE).to_bits()..TOO_LARGE.to_bits();
        require(normal.contains(&x.to_bits()), ErrorKind::NotNormal, argument)
    }

    pub(crate) fn above_one(x: f64, argument: Argument) -> Result<(), Error> {
        let above = 1.0_f64.next_up().to_bits()..f64::INFINITY.to_bits();
        require(above.contains(&x.to_bits()), ErrorKind::NotAboveOne, argument)
    }

    pub(crate) fn between_zero_and_one(x: f64, argument: Argument) -> Result<(), Error> {
        let between = 1..1.0_f64.to_bits();
        require(between.contains(&x.to_bits()), ErrorKind::NotBetweenZeroAndOne, argument)
    }

    pub(crate) fn at_least_one(count: u64, argument: Argument) -> Result<(), Error> {
        require(count >= 1, ErrorKind::Zero, argument)
    }

    pub(crate) fn step_count(t: u64) -> Result<(), Error> {
        at_least_one(t, Argument::T)
    }

    #[cfg(test)]
    mod tests {
        use super::*;

        /// Every check is what it says in floating point.
        #[test]
        fn bits_order_as_numbers() {
            let numbers = [
                0.0,
                f64::from_bits(1),
                f64::MIN_POSITIVE,
                1e-46,
                0.5,
                1.0_f64.next_down(),
                1.0,
                1.0_f64.next_up(),
                f64::from(f32::MAX),
                TOO_LARGE.next_down(),
                TOO_LARGE,
                1e39,
                f64::MAX,
                f64::INFINITY,
                f64::NAN,
            ];
            for x in numbers.into_iter().flat_map(|x| [x, -x]) {
                let single = x as f32;
                let argument = Argument::Lr;
                assert_eq!(
                    non_negative(x, argument).is_ok(),
                    x >= 0.0 && single.is_finite(),
                    "{x}"
                );
                assert_eq!(finite(x, argument).is_ok(), single.is_finite(), "{x}");
                assert_eq!(fraction(x, argument).is_ok(), (0.0..=1.0).contains(&x), "{x}");
                assert_eq!(unit_interval(x, argument).is_ok(), (0.0..1.0).contains(&x), "{x}");
                assert_eq!(bound(x, argument).is_ok(), x >= 0.0, "{x}");
                assert_eq!(normal(x, argument).is_ok(), x > 0.0 && single.is_normal(), "{x}");
                assert_eq!(above_one(x, argument).is_ok(), x > 1.0 && x.is_finite(), "{x}");
                assert_eq!(between_zero_and_one(x, argument).is_ok(), x > 0.0 && x < 1.0, "{x}");
            }
        }
    }
}
