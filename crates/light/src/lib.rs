//! light.
