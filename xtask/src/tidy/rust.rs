//! The little of Rust's grammar that the checks read: test functions and `mod` declarations, line by
//! line, as rustfmt lays them out.

/// Names of functions under `#[test]`, `#[tokio::test]` and the like.
pub fn test_names(text: &str) -> Vec<String> {
    let mut names = Vec::new();
    let mut under_test = false;
    for line in text.lines().map(str::trim) {
        if line.starts_with("#[") {
            under_test |= is_test_attribute(line);
        } else if let Some(name) = function_name(line) {
            if under_test {
                names.push(name.to_owned());
            }
            under_test = false;
        }
    }
    names
}

fn is_test_attribute(line: &str) -> bool {
    let attribute = line.trim_start_matches("#[");
    let path = attribute.split(['(', ']']).next().unwrap_or_default();
    path == "test" || path.ends_with("::test")
}

/// `pub async fn name(...` → `name`.
pub fn function_name(line: &str) -> Option<&str> {
    let mut rest = line.trim();
    if let Some(inside) = rest.strip_prefix("pub(") {
        rest = inside.split_once(')')?.1.trim_start();
    }
    for word in ["pub ", "default ", "const ", "async ", "unsafe "] {
        rest = rest.strip_prefix(word).unwrap_or(rest);
    }
    let rest = rest.strip_prefix("fn ")?;
    let end = rest.find(|c: char| !(c.is_alphanumeric() || c == '_'))?;
    Some(&rest[..end])
}

/// A `mod name;` with the `#[path]` above it, if any.
#[derive(Debug, PartialEq, Eq)]
pub struct Module<'a> {
    pub name: &'a str,
    pub path: Option<&'a str>,
}

/// The modules that live in files of their own, and files taken in by `include!`.
pub fn modules(text: &str) -> Vec<Module<'_>> {
    let mut modules = Vec::new();
    let mut path = None;
    for line in text.lines().map(str::trim) {
        if let Some(quoted) = line.strip_prefix("#[path = \"") {
            path = quoted.split('"').next();
            continue;
        }
        if let Some(quoted) = line.split("include!(\"").nth(1) {
            let path = quoted.split('"').next();
            modules.push(Module { name: "", path });
        }
        if let Some(name) = module_name(line) {
            modules.push(Module {
                name,
                path: path.take(),
            });
        } else if !line.starts_with("#[") {
            path = None;
        }
    }
    modules
}

fn module_name(line: &str) -> Option<&str> {
    let mut rest = line;
    if let Some(inside) = rest.strip_prefix("pub(") {
        rest = inside.split_once(')')?.1.trim_start();
    }
    rest = rest.strip_prefix("pub ").unwrap_or(rest);
    rest.strip_prefix("mod ")?.strip_suffix(';').map(str::trim)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn test_functions_are_found_under_their_attributes() {
        let text = "
#[test]
fn plain() {}
#[tokio::test(flavor = \"multi_thread\")]
#[ignore = \"slow\"]
async fn with_more() {}
fn not_a_test() {}
#[cfg(test)]
fn neither() {}
";
        assert_eq!(test_names(text), ["plain", "with_more"]);
    }

    #[test]
    fn function_names_are_read() {
        assert_eq!(function_name("pub(crate) async fn a_b(x: u8)"), Some("a_b"));
        assert_eq!(function_name("pub const fn c<T>()"), Some("c"));
        assert_eq!(function_name("let fn_ = 1;"), None);
    }

    #[test]
    fn modules_are_read() {
        let text = "
mod a;
pub mod b;
pub(crate) mod c;
#[path = \"elsewhere/d.rs\"]
#[cfg(test)]
mod d;
mod inline { }
include!(\"e.rs\");
";
        let found: Vec<_> = modules(text)
            .into_iter()
            .map(|m| (m.name, m.path))
            .collect();
        let expected = [
            ("a", None),
            ("b", None),
            ("c", None),
            ("d", Some("elsewhere/d.rs")),
            ("", Some("e.rs")),
        ];
        assert_eq!(found, expected);
    }
}
