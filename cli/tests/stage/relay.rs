//! A way to a server that breaks as it is told: one connection after the other.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, channel};

/// What becomes of a connection.
#[derive(Debug, Clone, Copy)]
pub enum Way {
    /// It is passed on until the server has said this, and then cut.
    CutBehind(&'static str),
    /// It is answered with this status by whoever stands in front, and `Retry-After: 1`.
    Busy(&'static str),
    /// It is cut before it is answered.
    Cut,
    /// It is passed on.
    Whole,
}

/// Listens, and does with each connection what comes next; the last way is that of all others. Each is told of as it begins.
pub fn relay(server: &str, ways: &[Way]) -> (String, Receiver<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = format!("http://{}", listener.local_addr().expect("an address"));
    let (server, ways) = (server.trim_start_matches("http://").to_owned(), ways.to_vec());
    let (told, seen) = channel();
    std::thread::spawn(move || {
        for (nth, client) in listener.incoming().enumerate() {
            let way = ways[nth.min(ways.len() - 1)];
            let (mut client, server) = (client.expect("a connection"), server.clone());
            // Whoever does not want to know has gone.
            let _ = told.send(());
            match way {
                Way::Cut => drop(client),
                Way::Busy(status) => {
                    let mut asked = [0; 4_096];
                    let _ = client.read(&mut asked);
                    let _ = write!(
                        client,
                        "HTTP/1.1 {status}\r\nretry-after: 1\r\ncontent-length: 4\r\nconnection: close\r\n\r\nbusy"
                    );
                }
                Way::CutBehind(mark) => pass(client, &server, Some(mark)),
                Way::Whole => {
                    std::thread::spawn(move || pass(client, &server, None));
                }
            }
        }
    });
    (url, seen)
}

/// Passes on what both say.
fn pass(client: TcpStream, server: &str, mark: Option<&str>) {
    let server = TcpStream::connect(server).expect("the server");
    let back = (client.try_clone().expect("a stream"), server.try_clone().expect("a stream"));
    let asking = std::thread::spawn(move || copy(client, server, None));
    copy(back.1, back.0, mark);
    asking.join().expect("what the client says");
}

fn copy(mut from: TcpStream, mut to: TcpStream, mark: Option<&str>) {
    let (mut bytes, mut said) = ([0; 4_096], String::new());
    while let Ok(read) = from.read(&mut bytes) {
        if read == 0 || to.write_all(&bytes[..read]).is_err() {
            break;
        }
        said.push_str(&String::from_utf8_lossy(&bytes[..read]));
        if mark.is_some_and(|mark| said.contains(mark)) {
            break;
        }
    }
    // What is closed already is closed.
    let _ = from.shutdown(Shutdown::Both);
    let _ = to.shutdown(Shutdown::Both);
}
