//! Experiments: each computes and writes tables, and makes its pictures from them.

pub mod surface;
