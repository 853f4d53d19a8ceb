//! The conformance suite and PostgreSQL for tests.
