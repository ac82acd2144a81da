//! `naive.c`, behind slices.

/// `loops! { fn name(state...; scalar...); }`: for each C function of that name and those
/// arguments, a safe one over slices.
macro_rules! loops {
    ($(fn $name:ident($($state:ident),*; $($scalar:ident),*);)*) => {
        mod c {
            unsafe extern "C" {
                $(pub(super) unsafe fn $name(
                    n: usize,
                    p: *mut f32,
                    g: *const f32,
                    $($state: *mut f32,)*
                    $($scalar: f32,)*
                );)*
            }
        }

        $(pub(crate) fn $name(
            param: &mut [f32],
            grad: &[f32],
            state: [&mut [f32]; <[&str]>::len(&[$(stringify!($state)),*])],
            scalars: [f32; <[&str]>::len(&[$(stringify!($scalar)),*])],
        ) {
            let n = param.len();
            let ([$($state),*], [$($scalar),*]) = (state, scalars);
            assert!(grad.len() == n $(&& $state.len() == n)*);
            // SAFETY: every pointer is good for `n` values, and the exclusive ones are, as
            // `restrict` demands, apart from each other and from the gradient.
            unsafe {
                c::$name(n, param.as_mut_ptr(), grad.as_ptr(), $($state.as_mut_ptr(),)* $($scalar),*)
            }
        })*
    };
}

loops! {
    fn naive_sgd(; lr);
    fn naive_momentum(b; lr, momentum);
    fn naive_nesterov(b; lr, momentum);
    fn naive_adagrad(s; lr, eps);
    fn naive_rmsprop(v; lr, alpha, eps);
    fn naive_rmsprop_centered(v, m; lr, alpha, eps);
    fn naive_rmsprop_momentum(v, b; lr, alpha, eps, momentum);
    fn naive_adadelta(v, a; lr, rho, eps);
    fn naive_adam(m, v; step, root, beta1, beta2, eps);
    fn naive_amsgrad(m, v, max; step, root, beta1, beta2, eps);
    fn naive_adamw(m, v; step, root, beta1, beta2, eps, shrink);
    fn bandwidth_0(; zero);
    fn bandwidth_1(a; zero);
    fn bandwidth_2(a, b; zero);
    fn bandwidth_3(a, b, c; zero);
}
