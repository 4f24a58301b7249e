//! epoll(7): which of many open files are ready.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::{Rc, Weak};

use super::Open;

/// One entry of an interest list.
#[derive(Clone, Debug)]
pub(in super::super) struct Interest {
    open: Weak<RefCell<Open>>,
    events: u32,
    data: u64,
    /// The open file's count of edges when it was last reported.
    seen: Option<u64>,
}

/// An interest list, by descriptor.
#[derive(Default, Debug)]
pub(in super::super) struct Epoll {
    list: BTreeMap<i32, Interest>,
    /// The descriptor that was reported last: the next report starts behind it.
    last: i32,
}

impl Interest {
    pub(in super::super) fn new(open: &Rc<RefCell<Open>>, events: u32, data: u64) -> Self {
        Self {
            open: Rc::downgrade(open),
            events,
            data,
            seen: None,
        }
    }

    /// What is to be reported, and the count of edges that it is of.
    fn report(&self) -> Option<(u32, u64)> {
        let open = self.open.upgrade()?;
        let open = open.borrow();
        // Errors are reported whether asked for or not (epoll_ctl(2)).
        let always = (libc::EPOLLERR | libc::EPOLLHUP) as u32;
        let ready = open.ready() & (self.events | always);
        let edges = open.edges();
        let edge_triggered = self.events & libc::EPOLLET as u32 != 0;
        let old = edge_triggered && self.seen == Some(edges);
        (ready != 0 && !old && self.events & !(libc::EPOLLET | libc::EPOLLONESHOT) as u32 != 0)
            .then_some((ready, edges))
    }
}

impl Epoll {
    /// `EPOLL_CTL_ADD`
    pub(in super::super) fn add(&mut self, fd: i32, interest: Interest) -> Result<(), i32> {
        if self.list.contains_key(&fd) {
            return Err(libc::EEXIST);
        }
        self.list.insert(fd, interest);
        Ok(())
    }

    /// `EPOLL_CTL_MOD`
    pub(in super::super) fn change(&mut self, fd: i32, interest: Interest) -> Result<(), i32> {
        *self.list.get_mut(&fd).ok_or(libc::ENOENT)? = interest;
        Ok(())
    }

    /// `EPOLL_CTL_DEL`
    pub(in super::super) fn remove(&mut self, fd: i32) -> Result<(), i32> {
        self.list.remove(&fd).map(drop).ok_or(libc::ENOENT)
    }

    /// An open file is gone.
    pub(in super::super) fn forget(&mut self, open: &Rc<RefCell<Open>>) {
        let gone = Rc::downgrade(open);
        self.list.retain(|_, interest| !interest.open.ptr_eq(&gone));
    }

    pub(in super::super) fn has_ready(&self) -> bool {
        self.list
            .values()
            .any(|interest| interest.report().is_some())
    }

    /// Up to `most` reports: events and data.
    pub(in super::super) fn take(&mut self, most: usize) -> Vec<(u32, u64)> {
        let last = self.last;
        let order: Vec<i32> = self
            .list
            .range(last.saturating_add(1)..)
            .chain(self.list.range(..=last))
            .map(|(&fd, _)| fd)
            .collect();
        let mut reports = Vec::new();
        for fd in order {
            if reports.len() == most {
                break;
            }
            let Some(interest) = self.list.get_mut(&fd) else {
                continue;
            };
            if let Some((events, edges)) = interest.report() {
                interest.seen = Some(edges);
                if interest.events & libc::EPOLLONESHOT as u32 != 0 {
                    interest.events &= (libc::EPOLLET | libc::EPOLLONESHOT) as u32;
                }
                reports.push((events, interest.data));
                self.last = fd;
            }
        }
        reports
    }
}
