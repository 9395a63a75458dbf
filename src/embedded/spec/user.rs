//! `user` and `group_add` by name or number, looked up in the texts of `/etc/passwd` and `/etc/group`.
