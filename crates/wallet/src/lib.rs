//! wallet.
