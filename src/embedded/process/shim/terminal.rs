//! The terminal of a container comes from its own devices, through a socket.

use std::io::{self, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixListener;
use std::path::Path;

use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, recvmsg};

/// Where it comes.
pub(in super::super) struct Console(UnixListener);

impl Console {
    /// Waits for it at this path.
    pub(in super::super) fn listen(path: &Path) -> io::Result<Self> {
        super::missing_is_fine(std::fs::remove_file(path))?;
        let listener = UnixListener::bind(path)?;
        listener.set_nonblocking(true)?;
        Ok(Self(listener))
    }

    /// The terminal's near end; it has been sent when the container has been made.
    pub(super) fn receive(self) -> io::Result<OwnedFd> {
        let (stream, _) = self.0.accept()?;
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut messages = RecvAncillaryBuffer::new(&mut space);
        let mut name = [0; 64];
        recvmsg(
            &stream,
            &mut [IoSliceMut::new(&mut name)],
            &mut messages,
            RecvFlags::CMSG_CLOEXEC | RecvFlags::DONTWAIT,
        )?;
        for message in messages.drain() {
            if let RecvAncillaryMessage::ScmRights(mut descriptors) = message
                && let Some(terminal) = descriptors.next()
            {
                return Ok(terminal);
            }
        }
        Err(io::Error::other("no terminal has come"))
    }
}
