//! The status page: one document that asks `/-/status` for what it shows.
//!
//! Nothing of it is made at run time, so that nothing hostile can get into it.
#![forbid(unsafe_code)]

/// What a browser may do with the page (Content Security Policy level 3). Whoever puts a script
/// or a style into the page puts its hash here.
pub(super) const POLICY: &str = "default-src 'none'; connect-src 'self'; base-uri 'none'; \
                                 form-action 'none'; frame-ancestors 'none'";

/// The document.
pub(super) fn page() -> &'static str {
    "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
     <title>failover</title>\n</head>\n<body>\n<h1>failover</h1>\n\
     <p>The status of every component: <a href=\"/-/status\">/-/status</a>.</p>\n\
     </body>\n</html>\n"
}
