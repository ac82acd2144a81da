//! Every error of every function.

c_tests::c_tests! {
    errors_hyperparameters
    errors_hyperparameters_at_bounds
    errors_hyperparameters_together
    errors_arguments_before_buffers
    errors_buffers
    errors_lengths
    errors_overlaps
    errors_adjacent_is_fine
    errors_nothing_to_do
    errors_lists
    errors_lists_first
    errors_lists_long
    errors_presets
    errors_options_default
    errors_chunks
    errors_status
    errors_backend
}
