//! The shape of a refusal in this crate: code, rule, fault, fix; no data, so every one may be
//! logged.

/// One enum of refusals: `Variant Fault "code" "rule" "fix"`.
macro_rules! refusals {
    (
        $(#[$meta:meta])* $name:ident
        $($variant:ident $fault:ident $code:literal $rule:literal $fix:literal),* $(,)?
    ) => {
        $(#[$meta])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum $name {
            $(#[doc = $rule] $variant,)*
        }

        impl $name {
            /// Every refusal.
            pub const ALL: &[Self] = &[$(Self::$variant),*];

            /// The stable, dotted code.
            pub fn code(self) -> &'static str {
                match self { $(Self::$variant => $code,)* }
            }

            /// The rule that failed, in one sentence.
            pub fn rule(self) -> &'static str {
                match self { $(Self::$variant => $rule,)* }
            }

            /// Who can put it right.
            pub fn fault(self) -> realdid_credential::Fault {
                match self { $(Self::$variant => realdid_credential::Fault::$fault,)* }
            }

            /// What to do about it.
            pub fn fix(self) -> &'static str {
                match self { $(Self::$variant => $fix,)* }
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
    };
}

pub(crate) use refusals;
