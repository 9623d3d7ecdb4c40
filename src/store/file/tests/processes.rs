use super::{child::ChildProcess, test_directory::TestDirectory};

#[test]
fn thirty_processes_that_start_at_once_agree_on_one_key_and_one_logs_in() {
    let directory = TestDirectory::missing();
    let mut children: Vec<_> =
        (0..30).map(|_| ChildProcess::start("log in once", directory.path())).collect();
    for child in &mut children {
        assert_eq!(child.next_line(), "is ready");
    }
    children.iter_mut().for_each(ChildProcess::go_on);
    let mut keys: Vec<_> = children.iter_mut().map(ChildProcess::next_line).collect();
    keys.dedup();
    assert_eq!(keys.len(), 1);
    let logins: u32 = children.iter_mut().map(|child| child.next_line().parse::<u32>().unwrap()).sum();
    assert_eq!(logins, 1);
    children.into_iter().for_each(ChildProcess::wait);
}
