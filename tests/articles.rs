//! The articles' optimizers, as the articles write them, against the presets named after them.
//!
//! Plain f64 loops over a few steps; PyTorch, Keras, Optax and TensorFlow are held to traces of
//! their own in `golden`.

use gradstep::{Adadelta, Adagrad, Adam, Preset, RmsProp, Rule, Sgd};

/// Gradients of three parameters, the last of them zero at first.
const GRADS: [[f64; 3]; 5] =
    [[0.5, -3.0, 0.0], [0.25, 2.0, 0.0], [-1.0, 2.0, 1e-3], [4.0, -0.5, -1e-3], [0.5, 0.5, 0.125]];
const START: [f64; 3] = [1.0, -2.0, 0.5];

/// Runs the article's loop, `update(t, parameter, gradient, state)`, for each parameter, and the
/// rule on all of them.
#[track_caller]
fn agree<R: Rule>(rule: R, update: impl Fn(i32, &mut f64, f64, &mut [f64; 2])) {
    let mut expected = START;
    for (i, param) in expected.iter_mut().enumerate() {
        let mut state = [0.0; 2];
        for (t, grads) in (1..).zip(GRADS) {
            update(t, param, grads[i], &mut state);
        }
    }

    let mut param = START.map(|x| x as f32);
    let mut state = rule.state(|| [0.0; 3]);
    rule.init(R::lend(&mut state)).unwrap();
    for (t, grads) in (1..).zip(GRADS) {
        rule.step(t, &mut param, &grads.map(|x| x as f32), R::lend(&mut state)).unwrap();
    }
    for (found, expected) in param.into_iter().zip(expected) {
        let error = (f64::from(found) - expected).abs() / expected.abs();
        assert!(error < 1e-6, "{}: {found} for {expected}", R::name());
    }
}

fn preset<R: Rule>(preset: Preset) -> R {
    R::preset(preset).unwrap()
}

const ETA: f64 = 0.01;

/// theta <- theta - eta grad J
#[test]
fn gradient_descent() {
    for source in [Preset::Article1, Preset::Article2] {
        agree(Sgd { lr: ETA, ..preset(source) }, |_, theta, g, _| *theta -= ETA * g);
    }
}

/// Article 1: m <- beta m - eta grad J, theta <- theta + m.
/// Article 2: V = gamma V + alpha grad J, theta = theta - V.
#[test]
fn momentum() {
    let sgd = |source| Sgd { lr: ETA, momentum: 0.9, ..preset(source) };
    agree(sgd(Preset::Article1), |_, theta, g, [m, _]| {
        *m = 0.9 * *m - ETA * g;
        *theta += *m;
    });
    agree(sgd(Preset::Article2), |_, theta, g, [v, _]| {
        *v = 0.9 * *v + ETA * g;
        *theta -= *v;
    });
}

/// Both articles take the gradient at the point that the momentum leads to, theta + beta m. The
/// parameter of this crate is that point: with it the loop reads theta + beta m at its start and
/// at its end.
#[test]
fn nesterov() {
    for source in [Preset::Article1, Preset::Article2] {
        let sgd = Sgd { lr: ETA, momentum: 0.9, nesterov: true, ..preset(source) };
        agree(sgd, |_, ahead, g, [m, _]| {
            let theta = *ahead - 0.9 * *m;
            *m = 0.9 * *m - ETA * g;
            *ahead = theta + *m + 0.9 * *m;
        });
    }
}

/// s <- s + g², theta <- theta - eta g / sqrt(s + eps)
#[test]
fn adagrad() {
    for (source, eps) in [(Preset::Article1, 1e-10), (Preset::Article2, 1e-8)] {
        agree(Adagrad { lr: ETA, ..preset(source) }, |_, theta, g, [s, _]| {
            *s += g * g;
            *theta -= ETA * g / (*s + eps).sqrt();
        });
    }
}

/// s <- beta s + (1 - beta) g², theta <- theta - eta g / sqrt(s + eps)
#[test]
fn rmsprop() {
    agree(RmsProp { lr: ETA, ..preset(Preset::Article1) }, |_, theta, g, [s, _]| {
        *s = 0.9 * *s + 0.1 * g * g;
        *theta -= ETA * g / (*s + 1e-10).sqrt();
    });
    assert!(RmsProp::preset(Preset::Article2).is_err());
}

/// E = gamma E + (1 - gamma) g², and Zeiler's step from the average of past ones.
#[test]
fn adadelta() {
    let adadelta: Adadelta = preset(Preset::Article2);
    agree(adadelta, |_, theta, g, [e, d]| {
        *e = 0.9 * *e + 0.1 * g * g;
        let step = (*d + 1e-6).sqrt() / (*e + 1e-6).sqrt() * g;
        *d = 0.9 * *d + 0.1 * step * step;
        *theta -= step;
    });
    assert!(Adadelta::preset(Preset::Article1).is_err());
}

/// Article 1: eps 1e-7 inside the root. Article 2: m_hat / (sqrt(v_hat) + 1e-8).
#[test]
fn adam() {
    let moments = |t: i32, g: f64, [m, v]: &mut [f64; 2]| {
        *m = 0.9 * *m + 0.1 * g;
        *v = 0.999 * *v + 0.001 * g * g;
        (*m / (1.0 - 0.9_f64.powi(t)), *v / (1.0 - 0.999_f64.powi(t)))
    };
    agree(Adam { lr: ETA, ..preset(Preset::Article1) }, |t, theta, g, state| {
        let (m, v) = moments(t, g, state);
        *theta -= ETA * m / (v + 1e-7).sqrt();
    });
    agree(Adam { lr: ETA, ..preset(Preset::Article2) }, |t, theta, g, state| {
        let (m, v) = moments(t, g, state);
        *theta -= ETA * m / (v.sqrt() + 1e-8);
    });
}
