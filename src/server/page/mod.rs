//! The status page: one document that asks `-/status` and `-/events` for what it shows.
//!
//! Nothing of it is made at run time, so that nothing hostile can get into it: what the daemon and
//! its peers say reaches the browser as JSON, and the page puts it in place as text. All it asks
//! for is relative, so it works below any path of a proxy's.
#![forbid(unsafe_code)]

/// What a browser may do with the page (Content Security Policy level 3): ask this server, and run
/// and look like what is in the document itself, which the two hashes stand for. A change of the
/// page changes them; the test below says what to put here.
pub(super) const POLICY: &str = "default-src 'none'; \
     script-src 'sha256-uQ98vdz0S0QYHql/C2+CYg1Lpt9oEqfPEZyfkQqSNQU='; \
     style-src 'sha256-gYu7ZVAldRdmf/1KtaBl4WLsY4sAY5qddYYQNXRFro8='; \
     img-src data:; connect-src 'self'; form-action 'self'; base-uri 'none'; \
     frame-ancestors 'none'";

/// The document.
pub(super) fn page() -> &'static str {
    include_str!("page.html")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::base64;
    use crate::wire::digest::sha256;

    /// What a router can spare for a page, and a slow line brings at once.
    const PAGE_LEN_MAX: usize = 20 * 1_024;

    /// The text between the only `<name>` and its end.
    fn inside(name: &str) -> &'static str {
        let (start, end) = (format!("<{name}>"), format!("</{name}>"));
        assert_eq!(page().matches(&format!("<{name}")).count(), 1);
        let (_, rest) = page().split_once(&start).unwrap();
        rest.split_once(&end).unwrap().0
    }

    #[test]
    fn the_policy_has_the_hashes_of_the_page() {
        for name in ["script", "style"] {
            let hash = base64::encode(&sha256(inside(name).as_bytes()));
            let source = format!("{name}-src 'sha256-{hash}';");
            assert!(
                POLICY.contains(&source),
                "the page has changed; its policy needs\n{source}"
            );
        }
    }

    /// What the policy forbids would fail in a browser without a word to the reader.
    #[test]
    fn the_page_has_nothing_that_its_policy_forbids() {
        for forbidden in [
            "style=", "onclick=", "onload=", "src=", "http:", "https:", "url(", "@import",
        ] {
            let found = page().replace("http://www.w3.org/2000/svg", "");
            assert!(!found.contains(forbidden), "{forbidden}");
        }
    }

    #[test]
    fn nothing_becomes_markup() {
        for way in [
            "innerHTML",
            "outerHTML",
            "insertAdjacent",
            "document.write",
            "eval(",
            "DOMParser",
        ] {
            assert!(!page().contains(way), "{way}");
        }
    }

    #[test]
    fn the_page_is_small() {
        let len = page().len();
        assert!(len < PAGE_LEN_MAX, "{len} bytes");
    }
}
