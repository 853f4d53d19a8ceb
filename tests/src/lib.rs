//! Black-box tests; see `tests/`. The examples on the pages in `docs/` are tests of this crate.

#[cfg(doctest)]
mod pages {
    #[doc = include_str!("../../docs/quickstart.md")]
    struct Quickstart;
    #[doc = include_str!("../../docs/concepts.md")]
    struct Concepts;
    #[doc = include_str!("../../docs/cli.md")]
    struct Cli;
    #[doc = include_str!("../../docs/metrics.md")]
    struct Metrics;
    #[doc = include_str!("../../docs/windows.md")]
    struct Windows;
}
