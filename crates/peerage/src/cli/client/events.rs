//! A stream of server-sent events, read one by one.

use bytes::{Buf as _, BytesMut};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;

use super::{Failure, MAX_ANSWER, broken};

/// The events of one answer.
#[derive(Debug)]
pub(crate) struct Events {
    body: Incoming,
    parser: Parser,
}

/// One event: its name and its data.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Event {
    /// Its name; empty when it has none.
    pub(crate) name: String,
    /// Its data, lines joined by line ends.
    pub(crate) data: String,
}

impl Events {
    pub(super) fn new(body: Incoming) -> Self {
        Self {
            body,
            parser: Parser::default(),
        }
    }

    /// The next event; `None` at the end.
    pub(crate) async fn next(&mut self) -> Result<Option<Event>, Failure> {
        loop {
            if let Some(event) = self.parser.event() {
                return Ok(Some(event));
            }
            let Some(frame) = self.body.frame().await else {
                return Ok(None);
            };
            if let Ok(data) = frame.map_err(broken)?.into_data() {
                self.parser.feed(&data)?;
            }
        }
    }
}

/// Takes bytes as they come and gives whole events.
#[derive(Debug, Default)]
struct Parser {
    bytes: BytesMut,
    /// How many bytes are known to hold no line end, so that a long line is looked at once.
    scanned: usize,
    event: Event,
}

impl Parser {
    fn feed(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        if self.bytes.len() + self.event.data.len() + bytes.len() > MAX_ANSWER {
            return Err(Failure::failed(
                "answer_too_long",
                "the node's answer is too long",
            ));
        }
        self.bytes.extend_from_slice(bytes);
        Ok(())
    }

    /// A whole event, if there is one in what was fed.
    fn event(&mut self) -> Option<Event> {
        while let Some(end) = self.line_end() {
            let line = self.bytes.split_to(end);
            self.bytes.advance(1);
            let line = String::from_utf8_lossy(&line);
            let line = line.trim_end_matches('\r');
            if line.is_empty() {
                let event = std::mem::take(&mut self.event);
                if !event.data.is_empty() {
                    return Some(event);
                }
                continue;
            }
            let (field, value) = line.split_once(':').unwrap_or((line, ""));
            let value = value.strip_prefix(' ').unwrap_or(value);
            match field {
                "event" => value.clone_into(&mut self.event.name),
                "data" => {
                    if !self.event.data.is_empty() {
                        self.event.data.push('\n');
                    }
                    self.event.data.push_str(value);
                }
                // Comments keep the connection alive; ids are for reconnecting, which a call does not do.
                _ => {}
            }
        }
        None
    }

    fn line_end(&mut self) -> Option<usize> {
        let fresh = &self.bytes[self.scanned..];
        let end = fresh.iter().position(|byte| *byte == b'\n');
        let end = end.map(|end| self.scanned + end);
        self.scanned = if end.is_some() { 0 } else { self.bytes.len() };
        end
    }
}

#[cfg(test)]
mod tests {
    use super::{Event, Parser};

    #[test]
    fn events_come_whole_however_they_are_cut() {
        let text = ": hello\r\nevent: progress\ndata: {\"a\":\ndata: 1}\nid: 3\n\n\n\ndata:x\r\n\r\nevent: late";
        let event = |name: &str, data: &str| Event {
            name: name.to_owned(),
            data: data.to_owned(),
        };
        let expected = vec![event("progress", "{\"a\":\n1}"), event("", "x")];
        for size in 1..text.len() {
            let mut parser = Parser::default();
            let mut events = Vec::new();
            for chunk in text.as_bytes().chunks(size) {
                parser.feed(chunk).unwrap();
                while let Some(event) = parser.event() {
                    events.push(event);
                }
            }
            assert_eq!(events, expected, "in parts of {size}");
        }
    }
}
