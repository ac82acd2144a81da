/*
 * The rules on a microcontroller, each next to the textbook loop of benches/naive.c.
 *
 * CASE(name, struct, hyperparameters, call of the step, call of the loop); gradstep's calls use `hyper`,
 * `t` and `n`, the loop's `n`, and both the buffers p, g, a, b and c. The scalars of the loops are computed already.
 * The last one is no rule: the gradient's norm, and the factor that clips it.
 */
CASE(sgd, gradstep_sgd, gradstep_sgd_default(&hyper),
     gradstep_sgd_step(&hyper, NULL, t, n, p, g, NULL),
     naive_sgd(n, p, g, 1e-3F))
CASE(momentum, gradstep_sgd, gradstep_sgd_default(&hyper); hyper.momentum = 0.9,
     gradstep_sgd_step(&hyper, NULL, t, n, p, g, a),
     naive_momentum(n, p, g, a, 1e-3F, 0.9F))
CASE(nesterov, gradstep_sgd, gradstep_sgd_default(&hyper); hyper.momentum = 0.9; hyper.nesterov = 1,
     gradstep_sgd_step(&hyper, NULL, t, n, p, g, a),
     naive_nesterov(n, p, g, a, 1e-3F, 0.9F))
CASE(adagrad, gradstep_adagrad, gradstep_adagrad_default(&hyper),
     gradstep_adagrad_step(&hyper, NULL, t, n, p, g, b),
     naive_adagrad(n, p, g, b, 1e-2F, 1e-10F))
CASE(rmsprop, gradstep_rmsprop, gradstep_rmsprop_default(&hyper),
     gradstep_rmsprop_step(&hyper, NULL, t, n, p, g, b, NULL, NULL),
     naive_rmsprop(n, p, g, b, 1e-2F, 0.99F, 1e-8F))
CASE(rmsprop_centered, gradstep_rmsprop, gradstep_rmsprop_default(&hyper); hyper.centered = 1,
     gradstep_rmsprop_step(&hyper, NULL, t, n, p, g, b, a, NULL),
     naive_rmsprop_centered(n, p, g, b, a, 1e-2F, 0.99F, 1e-8F))
CASE(rmsprop_momentum, gradstep_rmsprop, gradstep_rmsprop_default(&hyper); hyper.momentum = 0.9,
     gradstep_rmsprop_step(&hyper, NULL, t, n, p, g, b, NULL, a),
     naive_rmsprop_momentum(n, p, g, b, a, 1e-2F, 0.99F, 1e-8F, 0.9F))
CASE(adadelta, gradstep_adadelta, gradstep_adadelta_default(&hyper),
     gradstep_adadelta_step(&hyper, NULL, t, n, p, g, b, c),
     naive_adadelta(n, p, g, b, c, 1.0F, 0.9F, 1e-6F))
CASE(adam, gradstep_adam, gradstep_adam_default(&hyper),
     gradstep_adam_step(&hyper, NULL, t, n, p, g, a, b, NULL),
     naive_adam(n, p, g, a, b, 1e-3F, 1.1F, 0.9F, 0.999F, 1e-8F))
CASE(amsgrad, gradstep_adam, gradstep_adam_default(&hyper); hyper.amsgrad = GRADSTEP_AMSGRAD_RAW,
     gradstep_adam_step(&hyper, NULL, t, n, p, g, a, b, c),
     naive_amsgrad(n, p, g, a, b, c, 1e-3F, 1.1F, 0.9F, 0.999F, 1e-8F))
CASE(adamw, gradstep_adamw, gradstep_adamw_default(&hyper),
     gradstep_adamw_step(&hyper, NULL, t, n, p, g, a, b, NULL),
     naive_adamw(n, p, g, a, b, 1e-3F, 1.1F, 0.9F, 0.999F, 1e-8F, 0.99999F))
CASE(norm, gradstep_norm, gradstep_norm_init(&hyper),
     (gradstep_norm_add((gradstep_norm *)&hyper, n, g) | gradstep_norm_clip(&hyper, NULL, NULL, &(double){0})),
     naive_norm(n, g))
