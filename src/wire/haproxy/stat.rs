//! The reply to `show stat`: CSV whose columns are found by name (management.txt, section 9.1).
//!
//! Columns come and go with versions, so that one which is not asked for is ignored wherever it
//! stands, and one which is missing is named. Which of the numbers mean trouble is judged
//! elsewhere.
#![forbid(unsafe_code)]

use std::borrow::Cow;

/// What HAProxy has counted for one server since it started, or since its counters were cleared.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct ServerStat {
    /// `stot`: how often the server was given a request (a connection in mode tcp), also on a
    /// connection used again, and anew at each retry.
    pub(crate) sessions: u64,
    /// `wretr`: how often the server was tried again for the same request.
    pub(crate) retries: u64,
    /// `econ`: the server could not be connected to, and the client was told so.
    pub(crate) connection_errors: u64,
    /// `wredis`: the server was switched away from, mostly since it could not be connected to.
    pub(crate) redispatches: u64,
    /// `eresp`: no valid answer came.
    pub(crate) response_errors: u64,
    /// `srv_abrt`: the server broke off in the middle. Some versions count it in `eresp`, too.
    pub(crate) aborts: u64,
    /// What only servers of mode http have.
    pub(crate) http: Option<HttpStat>,
    /// `ctime`: milliseconds to connect, the average over the last 1,024.
    pub(crate) connect_ms: u64,
}

/// What only servers of mode http have.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct HttpStat {
    /// `hrsp_5xx`: answers of the server itself; those that HAProxy made up are not among them.
    pub(crate) server_errors: u64,
    /// `rtime`: milliseconds until the head of the answer, the average over the last 1,024.
    pub(crate) response_ms: u64,
}

/// Finds a server in the reply; `None` when it is not there.
///
/// # Errors
/// What is wrong with the reply.
pub(crate) fn find_server(
    reply: &str,
    backend: &str,
    server: &str,
) -> Result<Option<ServerStat>, String> {
    let Some(records) = reply.strip_prefix("# ") else {
        return Err("no head line; expected \"# pxname,svname,...\"".to_string());
    };
    let mut records = Records(records);
    let head = records.next().unwrap_or(Ok(Vec::new()))?;
    let (proxy, name) = (column(&head, "pxname")?, column(&head, "svname")?);
    for record in records {
        let fields = record?;
        if fields.get(proxy).is_some_and(|it| it == backend)
            && fields.get(name).is_some_and(|it| it == server)
        {
            return stat_of(&head, &fields).map(Some);
        }
    }
    Ok(None)
}

fn column(head: &[Cow<'_, str>], name: &str) -> Result<usize, String> {
    head.iter()
        .position(|it| it == name)
        .ok_or_else(|| format!("no column {name}"))
}

fn stat_of(head: &[Cow<'_, str>], fields: &[Cow<'_, str>]) -> Result<ServerStat, String> {
    let text = |name| {
        let index = column(head, name)?;
        let field = fields.get(index).ok_or_else(|| format!("no field {name}"));
        field.map(|field| field.as_ref())
    };
    let number = |name| {
        let text = text(name)?;
        text.parse::<u64>()
            .map_err(|_| format!("{name} is {:?}; expected a number", cut(text)))
    };
    let http = match text("mode")? {
        "http" => Some(HttpStat {
            server_errors: number("hrsp_5xx")?,
            response_ms: number("rtime")?,
        }),
        _ => None,
    };
    Ok(ServerStat {
        sessions: number("stot")?,
        retries: number("wretr")?,
        connection_errors: number("econ")?,
        redispatches: number("wredis")?,
        response_errors: number("eresp")?,
        aborts: number("srv_abrt")?,
        http,
        connect_ms: number("ctime")?,
    })
}

/// As much of a bad value as a message shows.
fn cut(text: &str) -> String {
    text.chars().take(20).collect()
}

/// The records of CSV (RFC 4180), up to the empty line that ends the reply.
struct Records<'a>(&'a str);

impl<'a> Iterator for Records<'a> {
    type Item = Result<Vec<Cow<'a, str>>, String>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.0.is_empty() || self.0.starts_with(['\n', '\r']) {
            return None;
        }
        let mut fields = Vec::new();
        loop {
            let (field, rest) = match field(self.0) {
                Ok(found) => found,
                Err(problem) => {
                    self.0 = "";
                    return Some(Err(problem));
                }
            };
            fields.push(field);
            match rest.strip_prefix(',') {
                Some(rest) => self.0 = rest,
                None => {
                    let rest = rest.strip_prefix('\r').unwrap_or(rest);
                    // Without it the last number may be there in part only.
                    let whole = rest.strip_prefix('\n');
                    self.0 = whole.unwrap_or("");
                    let ended = whole.map(|_| fields);
                    return Some(ended.ok_or_else(|| "a line without its end".to_string()));
                }
            }
        }
    }
}

/// One field, and what follows it: a comma, a line end or nothing.
fn field(text: &str) -> Result<(Cow<'_, str>, &str), String> {
    let Some(quoted) = text.strip_prefix('"') else {
        let end = text.find([',', '\r', '\n']).unwrap_or(text.len());
        return Ok((Cow::Borrowed(&text[..end]), &text[end..]));
    };
    let (mut field, mut rest) = (String::new(), quoted);
    loop {
        let Some((part, behind)) = rest.split_once('"') else {
            return Err("a quote that is not closed".to_string());
        };
        field.push_str(part);
        rest = behind;
        // A quote in quotes is written twice.
        if !rest.starts_with('"') {
            break;
        }
        field.push('"');
        rest = &rest[1..];
    }
    if !rest.is_empty() && !rest.starts_with([',', '\r', '\n']) {
        return Err("text after a closing quote".to_string());
    }
    Ok((Cow::Owned(field), rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As HAProxy 2.6.12 said it to `show stat back 4 -1` and `show stat tcpl 4 -1`, after one
    /// request each that was answered, broken off, and refused, and others.
    const GOLDEN: &str = "# pxname,svname,qcur,qmax,scur,smax,slim,stot,bin,bout,dreq,dresp,\
        ereq,econ,eresp,wretr,wredis,status,weight,act,bck,chkfail,chkdown,lastchg,downtime,\
        qlimit,pid,iid,sid,throttle,lbtot,tracked,type,rate,rate_lim,rate_max,check_status,\
        check_code,check_duration,hrsp_1xx,hrsp_2xx,hrsp_3xx,hrsp_4xx,hrsp_5xx,hrsp_other,\
        hanafail,req_rate,req_rate_max,req_tot,cli_abrt,srv_abrt,comp_in,comp_out,comp_byp,\
        comp_rsp,lastsess,last_chk,last_agt,qtime,ctime,rtime,ttime,agent_status,agent_code,\
        agent_duration,check_desc,agent_desc,check_rise,check_fall,check_health,agent_rise,\
        agent_fall,agent_health,addr,cookie,mode,algo,\n\
        back,one,0,0,0,1,,8,622,1037,,0,,1,4,9,2,no check,1,1,0,,,10,,,1,3,1,,8,,2,1,,7,,,,0,3,\
        0,0,5,0,,,,4,0,3,,,,,0,,,0,6,7,0,,,,,,,,,,,,127.0.0.1:18781,,http,,\n\
        back,\"t \"\"wo, x\",0,0,0,0,,0,0,0,,0,,0,0,0,0,\"no, check\",0,1,0,,,10,,,1,3,2,,0,,2,0,\
        ,0,,,,0,0,0,0,0,0,,,,0,0,0,,,,,-1,,,0,0,0,0,,,,,,,,,,,,127.0.0.1:18782,,http,,\n\
        tcpl,t1,0,0,0,1,,3,0,81,,0,,1,0,0,0,no check,1,1,0,,,10,,,1,4,1,,3,,2,1,,2,,,,,,,,,,,,,,\
        0,0,,,,,0,,,0,9,0,163,,,,,,,,,,,,127.0.0.1:18781,,tcp,,\n\n";

    #[test]
    fn a_server_is_found_with_its_numbers() {
        let one = find_server(GOLDEN, "back", "one").unwrap().unwrap();
        let expected = ServerStat {
            sessions: 8,
            retries: 9,
            connection_errors: 1,
            redispatches: 2,
            response_errors: 4,
            aborts: 3,
            http: Some(HttpStat {
                server_errors: 5,
                response_ms: 7,
            }),
            connect_ms: 6,
        };
        assert_eq!(one, expected);
        let tcp = find_server(GOLDEN, "tcpl", "t1").unwrap().unwrap();
        assert_eq!((tcp.sessions, tcp.http, tcp.connect_ms), (3, None, 9));
        // Quotes are taken off; commas in them divide nothing.
        let two = find_server(GOLDEN, "back", "t \"wo, x").unwrap().unwrap();
        assert_eq!(two.http, Some(HttpStat::default()));
        for (backend, server) in [("back", "three"), ("tcpl", "one"), ("one", "back")] {
            assert_eq!(find_server(GOLDEN, backend, server), Ok(None));
        }
    }

    #[test]
    fn the_order_of_columns_and_those_not_known_do_not_matter() {
        let reply = "# new,ctime,mode,rtime,srv_abrt,svname,hrsp_5xx,eresp,wredis,econ,wretr,\
                     stot,pxname\r\n?,1,http,2,3,one,4,5,6,7,0,8,back\r\n";
        let one = find_server(reply, "back", "one").unwrap().unwrap();
        assert_eq!((one.connect_ms, one.sessions, one.aborts), (1, 8, 3));
    }

    #[test]
    fn what_is_missing_or_wrong_is_named() {
        let find = |reply: &str| find_server(reply, "back", "one").unwrap_err();
        for name in ["pxname", "svname", "stot", "econ", "hrsp_5xx", "mode"] {
            let without = GOLDEN.replacen(&format!("{name},"), "gone,", 1);
            assert_eq!(find(&without), format!("no column {name}"));
        }
        let wrong = GOLDEN.replacen("1,,8,622", "1,,eight,622", 1);
        assert_eq!(find(&wrong), "stot is \"eight\"; expected a number");
        assert_eq!(find("# pxname,svname,mode\nback,one\n"), "no field mode");
        for reply in ["", "\n", "No such proxy.\n\n", "pxname,svname\n"] {
            assert!(find(reply).starts_with("no head line"), "{reply:?}");
        }
        let cut = &GOLDEN[..GOLDEN.find("http,,").unwrap()];
        assert_eq!(find(cut), "a line without its end");
        assert_eq!(find("# pxname,\"svname"), "a quote that is not closed");
        assert_eq!(find("# pxname,\"sv\"name"), "text after a closing quote");
    }

    #[test]
    fn no_prefix_and_no_flip_panics() {
        for len in 0..GOLDEN.len() {
            let _ = find_server(&GOLDEN[..len], "back", "one");
        }
        let mut bytes = GOLDEN.as_bytes().to_vec();
        for at in 0..bytes.len() {
            for bit in 0..8 {
                bytes[at] ^= 1 << bit;
                let _ = find_server(&String::from_utf8_lossy(&bytes), "back", "one");
                bytes[at] ^= 1 << bit;
            }
        }
    }
}
