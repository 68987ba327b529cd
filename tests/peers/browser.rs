//! A headless Chromium that is driven over its DevTools protocol: what a person at the page sees,
//! presses and types. The protocol is spoken over a pair of pipes, so that nothing listens.

use std::fmt::Write as _;
use std::fs::{self, File, OpenOptions};
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use crate::json::{Json, quoted};
use crate::support::{Folder, PATIENCE, Peer, command, need, said};

/// How long it may take for anything: on a busy machine a dozen processes wait for their turns.
const ANSWERS_WITHIN: Duration = PATIENCE.saturating_mul(4);

/// In-page: see [`Browser::aim`]. Before a frame was painted, what `content-visibility` skips has
/// the size that was guessed for it, so that all that is below is somewhere else.
const AIM: &str = r"(async () => {
    const painted = () => new Promise(done => requestAnimationFrame(() => setTimeout(done)));
    const node = ELEMENT;
    await painted();
    node.scrollIntoView({block: 'center'});
    await painted();
    const box = node.getBoundingClientRect();
    const [x, y] = [box.left + Math.min(box.width / 2, 200), box.top + box.height / 2];
    window.aimed = {node};
    addEventListener('click', event => aimed.event ||= event, {capture: true});
    return node.contains(document.elementFromPoint(x, y)) ? x + ' ' + y : '';
})()";

/// In-page: whether a click hit what was aimed at, or what else; nothing if the page did not take
/// it.
pub(crate) const HIT: &str = r"(({node, event}) => !event || event.defaultPrevented ? ''
    : node.contains(event.target) ? 'it' : event.target.outerHTML.slice(0, 200))(aimed)";

/// One at a time: each is a dozen processes.
static ONE: Mutex<()> = Mutex::new(());

/// A browser with one tab.
pub(crate) struct Browser {
    to: File,
    from: Receiver<Json>,
    /// What it told without being asked.
    told: Vec<Json>,
    session: String,
    last: u32,
    _peer: Peer,
    _one: MutexGuard<'static, ()>,
}

impl Browser {
    /// A browser, or `None` once it was said that there is none.
    pub(crate) fn start() -> Option<Browser> {
        let program = need("chromium")?;
        let one = ONE.lock().unwrap_or_else(PoisonError::into_inner);
        let folder = Folder::new("browser");
        let (to, from) = (folder.file("to"), folder.file("from"));
        said(command("mkfifo").args([&to, &from]));
        let mut shell = command("sh");
        // Chromium reads its descriptor 3 and writes its descriptor 4. It does not start as root
        // unless its own sandbox is off; the pages here are ours.
        shell.args([
            "-c",
            "exec \"$0\" --headless --no-sandbox --disable-gpu --disable-dev-shm-usage \
             --disable-background-networking --no-first-run --remote-debugging-pipe \
             --user-data-dir=profile about:blank 3<to 4>from",
        ]);
        shell.arg(program).env("HOME", folder.path());
        let peer = Peer::start("chromium", shell, folder);
        // In the order in which the shell opens them: each waits for the other end.
        let to = OpenOptions::new().write(true).open(to).unwrap();
        let from = listen(File::open(from).unwrap());
        let mut browser = Browser {
            to,
            from,
            told: Vec::new(),
            session: String::new(),
            last: 0,
            _peer: peer,
            _one: one,
        };
        browser.attach();
        Some(browser)
    }

    fn attach(&mut self) {
        let target = self.call("Target.createTarget", r#"{"url":"about:blank"}"#);
        let target = quoted(target.at("targetId").text());
        let params = format!(r#"{{"targetId":{target},"flatten":true}}"#);
        let attached = self.call("Target.attachToTarget", &params);
        self.session = attached.at("sessionId").text().to_string();
        for domain in ["Page", "Runtime", "Log", "Accessibility"] {
            self.call(&format!("{domain}.enable"), "{}");
        }
        // A tab that believes itself in the background paints nothing and has no focus.
        self.call("Emulation.setFocusEmulationEnabled", r#"{"enabled":true}"#);
    }

    /// Has it do something, and returns what came of it.
    pub(crate) fn call(&mut self, method: &str, params: &str) -> Json {
        self.last += 1;
        let id = f64::from(self.last);
        let mut message = format!(r#"{{"id":{id},"method":"{method}","params":{params}"#);
        if !self.session.is_empty() {
            write!(message, r#","sessionId":{}"#, quoted(&self.session)).unwrap();
        }
        message.push_str("}\0");
        self.to.write_all(message.as_bytes()).unwrap();
        let deadline = Instant::now() + ANSWERS_WITHIN;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let message = match self.from.recv_timeout(left) {
                Ok(message) => message,
                Err(RecvTimeoutError::Timeout) => panic!("{method}: no answer"),
                Err(RecvTimeoutError::Disconnected) => panic!("{method}: the browser has ended"),
            };
            if message.at("id").number() != Some(id) {
                self.told.push(message);
                continue;
            }
            assert!(
                *message.at("error") == Json::Null,
                "{method} {params}: {message:?}"
            );
            return message.at("result").clone();
        }
    }

    /// Goes there, and waits until the page has drawn what it was told.
    pub(crate) fn open(&mut self, url: &str) {
        let params = format!(r#"{{"url":{}}}"#, quoted(url));
        self.call("Page.navigate", &params);
        self.wait_for("!!document.querySelector('#foot')?.textContent");
    }

    /// What an expression comes to, as text. A promise is waited for.
    pub(crate) fn eval(&mut self, expression: &str) -> String {
        let expression = quoted(&format!("(async () => String(await ({expression})))()"));
        let params = format!(
            r#"{{"expression":{expression},"awaitPromise":true,"returnByValue":true,
                "userGesture":true}}"#
        );
        let result = self.call("Runtime.evaluate", &params);
        assert!(
            *result.at("exceptionDetails") == Json::Null,
            "{expression}: {result:?}"
        );
        result.at("result").at("value").text().to_string()
    }

    /// Waits until an expression is true.
    pub(crate) fn wait_for(&mut self, expression: &str) {
        let deadline = Instant::now() + PATIENCE;
        while self.eval(expression) != "true" {
            if Instant::now() >= deadline {
                let seen = self.eval("document.body.innerText");
                panic!("waited for {expression}; last seen:\n{seen}");
            }
            thread::sleep(Duration::from_millis(50));
        }
    }

    /// Presses and releases a key that types nothing, or Enter.
    pub(crate) fn press(&mut self, key: &str) {
        let code = match key {
            "Tab" => 9,
            "Enter" => 13,
            "ArrowDown" => 40,
            other => panic!("{other}: an unknown key"),
        };
        let text = if key == "Enter" {
            r#","text":"\r""#
        } else {
            ""
        };
        for kind in ["keyDown", "keyUp"] {
            let text = if kind == "keyDown" { text } else { "" };
            let params = format!(
                r#"{{"type":"{kind}","key":"{key}","code":"{key}",
                    "windowsVirtualKeyCode":{code}{text}}}"#
            );
            self.call("Input.dispatchKeyEvent", &params);
        }
    }

    /// Types into what has the focus.
    pub(crate) fn type_text(&mut self, text: &str) {
        let params = format!(r#"{{"text":{}}}"#, quoted(text));
        self.call("Input.insertText", &params);
    }

    /// Clicks with the mouse on the element that the expression names, as a person does: where it
    /// was painted, and once more if nothing came of it.
    pub(crate) fn click(&mut self, element: &str) {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let at = self.aim(element);
            if let Some((x, y)) = at.split_once(' ') {
                self.press_mouse(x, y);
            }
            let hit = self.eval(HIT);
            if hit == "it" {
                return;
            }
            assert!(hit.is_empty(), "a click on {element} went to {hit}");
            assert!(Instant::now() < deadline, "{element} takes no click");
            thread::sleep(Duration::from_millis(50));
        }
    }

    /// Where the middle of an element is once all was painted, with a blank between; nothing if
    /// something else is there. [`HIT`] says what the next click hits.
    pub(crate) fn aim(&mut self, element: &str) -> String {
        self.eval(&AIM.replace("ELEMENT", element))
    }

    /// Presses and releases the left button of the mouse there.
    pub(crate) fn press_mouse(&mut self, x: &str, y: &str) {
        for kind in ["mousePressed", "mouseReleased"] {
            let params =
                format!(r#"{{"type":"{kind}","x":{x},"y":{y},"button":"left","clickCount":1}}"#);
            self.call("Input.dispatchMouseEvent", &params);
        }
    }

    /// The window's size, and whether its user likes it dark.
    pub(crate) fn look(&mut self, width: u32, height: u32, scheme: &str) {
        let params = format!(
            r#"{{"width":{width},"height":{height},"deviceScaleFactor":1,"mobile":false}}"#
        );
        self.call("Emulation.setDeviceMetricsOverride", &params);
        let params = format!(
            r#"{{"media":"","features":[{{"name":"prefers-color-scheme","value":"{scheme}"}}]}}"#
        );
        self.call("Emulation.setEmulatedMedia", &params);
    }

    /// Keeps what is seen as a picture, for people to look at.
    pub(crate) fn picture(&mut self, name: &str) {
        let shot = self.call("Page.captureScreenshot", r#"{"format":"png"}"#);
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().unwrap();
        let folder = folder.join("page-screenshots");
        fs::create_dir_all(&folder).unwrap();
        let png = from_base64(shot.at("data").text());
        fs::write(folder.join(format!("{name}.png")), png).unwrap();
    }

    /// Everything that went wrong in the page so far: errors of scripts, breaches of the policy,
    /// requests that failed, and whatever was written to the console.
    pub(crate) fn complaints(&mut self) -> Vec<String> {
        self.eval("1");
        let wrong = |message: &&Json| {
            let is_of = |method: &str| message.at("method").text() == method;
            is_of("Log.entryAdded")
                || is_of("Runtime.exceptionThrown")
                || is_of("Runtime.consoleAPICalled")
        };
        let wrong = self.told.iter().filter(wrong);
        wrong.map(|message| format!("{message:?}")).collect()
    }
}

/// Messages end with a zero byte.
fn listen(from: File) -> Receiver<Json> {
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || {
        for message in BufReader::new(from).split(0) {
            let Ok(message) = message else { return };
            let message = Json::read(&String::from_utf8_lossy(&message));
            if sender.send(message).is_err() {
                return;
            }
        }
    });
    receiver
}

fn from_base64(text: &str) -> Vec<u8> {
    let value = |byte: u8| match byte {
        b'A'..=b'Z' => u32::from(byte - b'A'),
        b'a'..=b'z' => u32::from(byte - b'a') + 26,
        b'0'..=b'9' => u32::from(byte - b'0') + 52,
        b'+' => 62,
        _ => 63,
    };
    let text = text.trim_end_matches('=').as_bytes();
    let mut bytes = Vec::new();
    for group in text.chunks(4) {
        let bits = group.iter().fold(0, |bits, &byte| bits << 6 | value(byte));
        let bits = bits << (6 * (4 - group.len()));
        bytes.extend_from_slice(&bits.to_be_bytes()[1..group.len()]);
    }
    bytes
}
