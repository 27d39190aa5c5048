//! The shape that every refusal of this crate has: code, rule, fault, fix.
//!
//! Variants carry no data on purpose. A claim value or a disclosure in an error would end in a log.

/// Who can put a refusal right.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Fault {
    /// The authority that issued the credential.
    Issuer,
    /// The wallet that shows it.
    Holder,
    /// The service that asks for it, or its gate.
    Verifier,
    /// The program that called this crate.
    Caller,
}

impl Fault {
    /// The word for messages.
    pub fn text(self) -> &'static str {
        match self {
            Self::Issuer => "issuer",
            Self::Holder => "wallet",
            Self::Verifier => "verifier",
            Self::Caller => "caller",
        }
    }
}

/// One enum of refusals: `Variant, fault, code, rule, fix`; `: { … }` lists the layers below whose
/// refusals pass through unchanged.
macro_rules! refusals {
    (
        $(#[$meta:meta])* $name:ident $(: { $($wrap:ident($inner:ty)),* $(,)? })?
        $($variant:ident $fault:ident $code:literal $rule:literal $fix:literal),* $(,)?
    ) => {
        $(#[$meta])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum $name {
            $(#[doc = $rule] $variant,)*
            $($(#[doc = "A refusal of the layer below."] $wrap($inner),)*)?
        }

        impl $name {
            /// Every refusal of this layer itself.
            pub const ALL: &[Self] = &[$(Self::$variant),*];

            /// The stable code.
            pub fn code(self) -> &'static str {
                match self { $(Self::$variant => $code,)* $($(Self::$wrap(inner) => inner.code(),)*)? }
            }

            /// The rule that failed, in one sentence.
            pub fn rule(self) -> &'static str {
                match self { $(Self::$variant => $rule,)* $($(Self::$wrap(inner) => inner.rule(),)*)? }
            }

            /// Who can put it right.
            pub fn fault(self) -> $crate::Fault {
                match self {
                    $(Self::$variant => $crate::Fault::$fault,)*
                    $($(Self::$wrap(inner) => inner.fault(),)*)?
                }
            }

            /// What to do about it.
            pub fn fix(self) -> &'static str {
                match self { $(Self::$variant => $fix,)* $($(Self::$wrap(inner) => inner.fix(),)*)? }
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                write!(
                    f,
                    "{}: {}; fault: {}; do: {}",
                    self.code(), self.rule(), self.fault().text(), self.fix()
                )
            }
        }

        impl std::error::Error for $name {}

        $($(
            impl From<$inner> for $name {
                fn from(inner: $inner) -> Self {
                    Self::$wrap(inner)
                }
            }
        )*)?
    };
}

pub(crate) use refusals;
