//! The derive macros of Headwater.
