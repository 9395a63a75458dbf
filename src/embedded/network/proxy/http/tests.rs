//! The tracker held against exchanges whose ends are known, however their bytes are cut.

use proptest::prelude::*;

use super::{LARGEST_HEAD, MOST_ASKED, Place, Tracker};

/// Where a tracker is after some words of client (`>`) and server (`<`), one after the other.
fn after(words: &[&str]) -> Place {
    let mut tracker = Tracker::default();
    for word in words {
        match word.split_at(1) {
            (">", sent) => tracker.sent(sent.as_bytes()),
            ("<", answered) => tracker.answered(answered.as_bytes()),
            _ => panic!("{word:?} is of nobody"),
        }
    }
    tracker.place()
}

const GET: &str = ">GET / HTTP/1.1\r\nHost: a\r\n\r\n";
const OK: &str = "<HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

#[test]
fn a_connection_is_between_exchanges_only_when_all_is_answered() {
    assert_eq!(after(&[]), Place::Fresh);
    assert_eq!(after(&[">G"]), Place::Within);
    assert_eq!(after(&[GET]), Place::Within);
    assert_eq!(after(&[GET, "<HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\no"]), Place::Within);
    assert_eq!(after(&[GET, OK]), Place::Between);
    assert_eq!(after(&[GET, OK, ">\r\n"]), Place::Between, "an empty line begins nothing");
    assert_eq!(after(&[GET, GET, OK]), Place::Within, "one of two is not answered");
    assert_eq!(after(&[GET, GET, OK, OK]), Place::Between);
    assert_eq!(after(&[GET, "<HTTP/1.1 103 Early Hints\r\n\r\n"]), Place::Within);
    assert_eq!(after(&[GET, "<HTTP/1.1 103 Early Hints\r\n\r\n", OK]), Place::Between);
}

#[test]
fn an_answer_without_a_body_ends_with_its_head() {
    let head = ">HEAD / HTTP/1.1\r\n\r\n";
    assert_eq!(after(&[head, "<HTTP/1.1 200 OK\r\nContent-Length: 200\r\n\r\n"]), Place::Between);
    assert_eq!(after(&[GET, "<HTTP/1.1 204 No Content\r\n\r\n"]), Place::Between);
    assert_eq!(after(&[GET, "<HTTP/1.1 304 Not Modified\r\nContent-Length: 9\r\n\r\n"]), Place::Between);
}

#[test]
fn chunks_end_with_their_trailer() {
    let begun = "<HTTP/1.1 200 OK\r\nTransfer-Encoding: Chunked\r\n\r\n";
    assert_eq!(after(&[GET, begun, "<3;a=\"b\"\r\nabc\r\n0\r\n"]), Place::Within);
    assert_eq!(after(&[GET, begun, "<3\r\nabc\r\n0\r\n\r\n"]), Place::Between);
    assert_eq!(after(&[GET, begun, "<3\r\nabc\r\n0\r\nDigest: x\r\n\r\n"]), Place::Between);
    assert_eq!(after(&[GET, begun, "<3\r\nabcd"]), Place::Opaque);
    assert_eq!(after(&[GET, begun, "<-3\r\n"]), Place::Opaque);
    assert_eq!(after(&[GET, begun, "<3\nabc\r\n"]), Place::Opaque);
}

#[test]
fn a_connection_that_is_to_end_is_never_between() {
    assert_eq!(after(&[">GET / HTTP/1.1\r\nConnection: close\r\n\r\n", OK]), Place::Within);
    let last = "<HTTP/1.1 200 OK\r\nConnection: x, Close\r\nContent-Length: 0\r\n\r\n";
    assert_eq!(after(&[GET, last]), Place::Within);
    assert_eq!(after(&[">GET / HTTP/1.0\r\n\r\n", OK]), Place::Within);
    let kept = "<HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 0\r\n\r\n";
    assert_eq!(after(&[">GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n", kept]), Place::Between);
    assert_eq!(after(&[GET, "<HTTP/1.1 200 OK\r\n\r\nas long as it takes"]), Place::Within);
}

#[test]
fn what_is_another_protocol_or_leaves_a_doubt_is_opaque() {
    for words in [
        [">\x16\x03\x01", "<"],
        [">PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "<"],
        [">*1\r\n$4\r\nPING\r\n", "<"],
        [">PING\r\n", "<"],
        [">EHLO me\r\n", "<"],
        [">", "<SSH-2.0-x\r\n"],
        [">", OK],
        [GET, "<no answer\r\n"],
        [GET, "<HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n"],
        [">CONNECT a:1 HTTP/1.1\r\n\r\n", "<HTTP/1.1 200 OK\r\n\r\n"],
        [">POST / HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n", "<"],
        [">POST / HTTP/1.1\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n", "<"],
        [">POST / HTTP/1.1\r\nTransfer-Encoding: gzip, chunked\r\n\r\n", "<"],
        [">POST / HTTP/1.1\r\nContent-Length: +1\r\n\r\n", "<"],
        [">POST / HTTP/1.1\r\nContent-Length: 99999999999999999999\r\n\r\n", "<"],
        [">POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n", "<"],
        [">GET / HTTP/1.1\r\na b: c\r\n\r\n", "<"],
    ] {
        assert_eq!(after(&words), Place::Opaque, "{words:?}");
    }
    assert_eq!(after(&[GET, OK, OK]), Place::Opaque, "nobody asked");
}

#[test]
fn what_is_kept_of_a_connection_is_bounded() {
    let mut tracker = Tracker::default();
    tracker.sent(b"GET / HTTP/1.1\r\n");
    tracker.sent("A: b\r\n".repeat(LARGEST_HEAD / 6).as_bytes());
    assert_eq!(tracker.place(), Place::Opaque);
    let mut tracker = Tracker::default();
    for _ in 0..=MOST_ASKED {
        tracker.sent(&GET.as_bytes()[1..]);
    }
    assert_eq!(tracker.place(), Place::Opaque);
}

/// A request and its answer.
#[derive(Debug, Clone)]
struct Exchange {
    request: Vec<u8>,
    answer: Vec<u8>,
}

fn body() -> impl Strategy<Value = (String, Vec<u8>)> {
    let bytes = || proptest::collection::vec(any::<u8>(), 0..40);
    prop_oneof![
        bytes().prop_map(|bytes| (format!("content-length: {}\r\n", bytes.len()), bytes)),
        (proptest::collection::vec(proptest::collection::vec(any::<u8>(), 1..20), 0..4), any::<bool>()).prop_map(
            |(chunks, trailer)| {
                let mut body = Vec::new();
                for chunk in chunks {
                    body.extend(format!("{:x}\r\n", chunk.len()).into_bytes());
                    body.extend(chunk);
                    body.extend(b"\r\n");
                }
                body.extend(if trailer { b"0\r\nA: b\r\n\r\n".as_slice() } else { b"0\r\n\r\n" });
                ("Transfer-Encoding: chunked\r\n".to_owned(), body)
            }
        ),
    ]
}

fn exchange() -> impl Strategy<Value = Exchange> {
    let method = prop::sample::select(vec!["GET", "HEAD", "POST", "OPTIONS"]);
    let code = prop::sample::select(vec![200, 204, 304, 404, 500]);
    (method, code, proptest::option::of(body()), body(), any::<bool>()).prop_map(
        |(method, code, sent, answered, interim)| {
            let (fields, bytes) = sent.unwrap_or_default();
            let mut request = format!("{method} /a?b HTTP/1.1\r\nHost: x\r\n{fields}\r\n").into_bytes();
            request.extend(bytes);
            let mut answer = Vec::new();
            if interim {
                answer.extend(b"HTTP/1.1 100 Continue\r\n\r\n");
            }
            let (fields, bytes) = answered;
            answer.extend(format!("HTTP/1.1 {code} X\r\nServer: y\r\n{fields}\r\n").into_bytes());
            if method != "HEAD" && code != 204 && code != 304 {
                answer.extend(bytes);
            }
            Exchange { request, answer }
        },
    )
}

/// Cuts bytes into pieces of these lengths, again and again.
fn pieces<'a>(mut bytes: &'a [u8], lengths: &[usize]) -> Vec<&'a [u8]> {
    let mut pieces = Vec::new();
    for length in lengths.iter().cycle() {
        if bytes.is_empty() {
            break;
        }
        let (piece, rest) = bytes.split_at((*length).min(bytes.len()));
        pieces.push(piece);
        bytes = rest;
    }
    pieces
}

fn lengths() -> impl Strategy<Value = Vec<usize>> {
    proptest::collection::vec(1_usize..50, 1..8)
}

proptest! {
    #[test]
    fn the_end_of_every_exchange_is_found_and_nothing_else(
        exchanges in proptest::collection::vec(exchange(), 1..5),
        lengths in lengths(),
    ) {
        let mut tracker = Tracker::default();
        for Exchange { request, answer } in &exchanges {
            for piece in pieces(request, &lengths) {
                tracker.sent(piece);
                prop_assert_eq!(tracker.place(), Place::Within);
            }
            let mut left = answer.len();
            for piece in pieces(answer, &lengths) {
                tracker.answered(piece);
                left -= piece.len();
                prop_assert_eq!(tracker.place(), if left == 0 { Place::Between } else { Place::Within });
            }
        }
    }

    #[test]
    fn requests_that_do_not_wait_are_answered_in_turn(
        exchanges in proptest::collection::vec(exchange(), 1..5),
        lengths in lengths(),
    ) {
        let requests: Vec<u8> = exchanges.iter().flat_map(|exchange| exchange.request.clone()).collect();
        let answers: Vec<u8> = exchanges.iter().flat_map(|exchange| exchange.answer.clone()).collect();
        let mut tracker = Tracker::default();
        for piece in pieces(&requests, &lengths) {
            tracker.sent(piece);
            prop_assert_eq!(tracker.place(), Place::Within);
        }
        let mut left = answers.len();
        for piece in pieces(&answers, &lengths) {
            tracker.answered(piece);
            left -= piece.len();
            prop_assert_eq!(tracker.place(), if left == 0 { Place::Between } else { Place::Within });
        }
    }

    #[test]
    fn how_bytes_are_cut_makes_no_difference(
        words in proptest::collection::vec(
            prop_oneof![
                proptest::collection::vec(any::<u8>(), 0..9),
                prop::sample::select(vec![
                    "GET / HTTP/1.1\r\n", "POST / HTTP/1.0\r\n", "HTTP/1.1 200 OK\r\n", "Content-Length: 3\r\n", "\r\n", "\n",
                    "Transfer-Encoding: chunked\r\n", "Connection: close\r\n", "3\r\nabc\r\n", "0\r\n\r\n", "abc",
                ]).prop_map(|word| word.as_bytes().to_vec()),
            ],
            0..12,
        ),
        turns in proptest::collection::vec(any::<bool>(), 12),
        lengths in lengths(),
    ) {
        let (mut whole, mut cut) = (Tracker::default(), Tracker::default());
        for (word, turn) in words.iter().zip(turns) {
            let feed = |tracker: &mut Tracker, bytes: &[u8]| {
                if turn { tracker.sent(bytes) } else { tracker.answered(bytes) }
            };
            feed(&mut whole, word);
            for piece in pieces(word, &lengths) {
                feed(&mut cut, piece);
            }
            prop_assert_eq!(whole.place(), cut.place());
        }
    }
}
