//! A name and what is meant at whom it names, in one path: `acme/sales/assistant/-/mcp/quotes`.

use peerage_core::{address::Address, problem::Problem};

/// What stands between the two.
pub(super) const SEPARATOR: &str = "/-/";

/// The name, and the path behind it.
///
/// # Errors
///
/// `bad_name`.
pub fn split(path: &str) -> Result<(Address, &str), Problem> {
    let hint = "/o/acme/sales/assistant/-/mcp/SERVER means o://acme/sales/assistant";
    let bad = |text: String| Problem::new(400, "bad_name", text).hint(hint);
    let (name, path) = path.split_once(SEPARATOR).ok_or_else(|| {
        bad("the path has no `/-/` between the name and what is meant there".to_owned())
    })?;
    let name = format!("{}{name}", Address::SCHEME).parse();
    let name = name.map_err(|error: peerage_core::address::AddressError| bad(error.to_string()))?;
    Ok((name, path))
}

/// The part of a path that a name is, without `o://`.
pub(super) fn part(name: &Address) -> &str {
    name.as_str().trim_start_matches(Address::SCHEME)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_ends_where_the_path_begins() {
        let (name, path) = split("acme/sales/-/mcp/a/-/b").unwrap();
        assert_eq!((name.as_str(), path), ("o://acme/sales", "mcp/a/-/b"));
        assert_eq!(part(&name), "acme/sales");
        for bad in ["acme", "", "/-/x", "Acme/-/x", "acme/%2d/-/x", "-/x"] {
            assert_eq!(split(bad).unwrap_err().code, "bad_name", "{bad}");
        }
    }
}
