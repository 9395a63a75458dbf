//! `user` and `group_add` by name or number, looked up in the texts of `/etc/passwd` and `/etc/group`.
//!
//! Both files come from the image: lines that make no sense are passed over.

use super::super::error::Error;

/// The largest number that an account may have.
const LARGEST: u32 = i32::MAX as u32;

/// Who a process is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Account {
    /// User.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Further groups, `gid` first, each once.
    pub additional_gids: Vec<u32>,
    /// Home folder, `/` for who has none.
    pub home: String,
}

/// Finds out who `user` (`name`, `uid`, `name:group`, `uid:gid`; empty for the superuser) and the groups of `group_add`
/// are. A number needs no line in either file; one that has a line has that line's group and home.
pub fn resolve(user: &str, group_add: &[String], passwd: &str, group: &str) -> Result<Account, Error> {
    let (user, wanted_group) = user.split_once(':').unwrap_or((user, ""));
    let user = if user.is_empty() { "0" } else { user };
    let number = user.parse::<i64>().ok();
    let line = passwd.lines().filter_map(User::parse).find(|line| match number {
        Some(number) => i64::from(line.uid) == number,
        None => line.name == user,
    });
    let (uid, mut gid, home) = match (&line, number) {
        (Some(line), _) => (line.uid, line.gid, line.home),
        (None, Some(number)) => (in_range(number)?, 0, ""),
        (None, None) => return Err(unknown("user", user, "passwd")),
    };
    let mut further = Vec::new();
    if !wanted_group.is_empty() {
        gid = group_number(wanted_group, group)?;
    } else if let Some(line) = &line {
        further
            .extend(group.lines().filter_map(Group::parse).filter(|group| group.has(line.name)).map(|group| group.gid));
    }
    for added in group_add {
        further.push(group_number(added, group)?);
    }
    let mut additional_gids = vec![gid];
    for gid in further {
        if !additional_gids.contains(&gid) {
            additional_gids.push(gid);
        }
    }
    Ok(Account { uid, gid, additional_gids, home: if home.is_empty() { "/" } else { home }.to_owned() })
}

/// A group by number, which needs no line, or by name, which does.
fn group_number(wanted: &str, group: &str) -> Result<u32, Error> {
    if let Ok(number) = wanted.parse::<i64>() {
        return in_range(number);
    }
    let line = group.lines().filter_map(Group::parse).find(|line| line.name == wanted);
    line.map(|line| line.gid).ok_or_else(|| unknown("group", wanted, "group"))
}

/// A number that an account may have.
fn in_range(number: i64) -> Result<u32, Error> {
    u32::try_from(number)
        .ok()
        .filter(|number| *number <= LARGEST)
        .ok_or_else(|| Error::Invalid(format!("uids and gids must be in range 0-{LARGEST}")))
}

/// Docker's words.
fn unknown(kind: &str, name: &str, file: &str) -> Error {
    Error::Invalid(format!("unable to find {kind} {name}: no matching entries in {file} file"))
}

/// A line of `/etc/passwd`.
struct User<'a> {
    name: &'a str,
    uid: u32,
    gid: u32,
    home: &'a str,
}

impl<'a> User<'a> {
    fn parse(line: &'a str) -> Option<Self> {
        let mut fields = line.trim().split(':');
        let name = fields.next().filter(|name| !name.is_empty() && !name.starts_with('#'))?;
        let uid = fields.nth(1)?.parse().ok()?;
        let gid = fields.next()?.parse().ok()?;
        Some(Self { name, uid, gid, home: fields.nth(1).unwrap_or_default() })
    }
}

/// A line of `/etc/group`.
struct Group<'a> {
    name: &'a str,
    gid: u32,
    members: &'a str,
}

impl<'a> Group<'a> {
    fn parse(line: &'a str) -> Option<Self> {
        let mut fields = line.trim().split(':');
        let name = fields.next().filter(|name| !name.is_empty() && !name.starts_with('#'))?;
        let gid = fields.nth(1)?.parse().ok()?;
        Some(Self { name, gid, members: fields.next().unwrap_or_default() })
    }

    fn has(&self, user: &str) -> bool {
        self.members.split(',').any(|member| member == user)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PASSWD: &str = "root:x:0:0:root:/root:/bin/sh\n\n# a comment\nbroken line\nnode:x:1000:1001::/home/node:/bin/sh\n1234:x:77:77::/odd:\n";
    const GROUP: &str = "root:x:0:\nadm:x:4:node,other\nnode:x:1001:\naudio:x:29:node\n";

    fn shown(user: &str, group_add: &[&str]) -> String {
        let group_add: Vec<_> = group_add.iter().map(ToString::to_string).collect();
        match resolve(user, &group_add, PASSWD, GROUP) {
            Ok(account) => {
                format!("{}:{} {:?} {}", account.uid, account.gid, account.additional_gids, account.home)
            }
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn a_user_is_found_by_name_and_by_number() {
        assert_eq!(shown("", &[]), "0:0 [0] /root");
        assert_eq!(shown("node", &[]), "1000:1001 [1001, 4, 29] /home/node");
        assert_eq!(shown("1000", &[]), "1000:1001 [1001, 4, 29] /home/node");
    }

    #[test]
    fn a_number_needs_no_line_and_is_never_taken_for_a_name() {
        assert_eq!(shown("1234", &[]), "1234:0 [0] /");
        assert_eq!(shown("5:6", &[]), "5:6 [6] /");
    }

    #[test]
    fn a_group_that_is_named_replaces_all_of_the_files() {
        assert_eq!(shown("node:audio", &[]), "1000:29 [29] /home/node");
        assert_eq!(shown(":audio", &[]), "0:29 [29] /root");
    }

    #[test]
    fn further_groups_are_added_once_each() {
        assert_eq!(shown("node", &["audio", "777", "777"]), "1000:1001 [1001, 4, 29, 777] /home/node");
    }

    #[test]
    fn who_is_unknown_is_said_in_dockers_words() {
        assert_eq!(shown("bob", &[]), "unable to find user bob: no matching entries in passwd file");
        assert_eq!(shown("node:wheel", &[]), "unable to find group wheel: no matching entries in group file");
        assert_eq!(shown("node", &["wheel"]), "unable to find group wheel: no matching entries in group file");
        assert_eq!(shown("-1", &[]), "uids and gids must be in range 0-2147483647");
        assert_eq!(shown("4294967295", &[]), "uids and gids must be in range 0-2147483647");
    }

    #[test]
    fn missing_files_know_nobody_by_name() {
        assert_eq!(resolve("", &[], "", "").map(|account| account.home), Ok("/".to_owned()));
        assert!(resolve("root", &[], "", "").is_err());
    }
}
