//! Passes over plans.
