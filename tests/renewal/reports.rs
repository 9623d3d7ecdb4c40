//! What is logged of renewing: what an operator should know, once.

use crate::{log::Log, support::*};

#[tokio::test(start_paused = true)]
async fn an_outage_is_one_warning_and_one_word_when_it_is_over() {
    let (log, _guard) = Log::new();
    let keystone = Keystone::new();
    let plugin = keystone.plugin();
    token(&plugin).await.unwrap();
    assert_eq!(log.lines(), [""; 0]);
    for _ in 0..2 {
        keystone.usually(Answer::NoConnection);
        pass(HOUR - 300).await;
        for _ in 0..200 {
            token(&plugin).await.unwrap();
            pass(1).await;
        }
        let lines = log.lines();
        let [warning] = &*lines else { panic!("{lines:?}") };
        assert!(warning.contains("WARN"), "{warning}");
        assert!(
            warning.contains("could not be reached") && warning.contains("connection refused"),
            "{warning}"
        );
        keystone.usually(Answer::Token);
        pass(60).await;
        token(&plugin).await.unwrap();
        settle().await;
        let lines = log.lines();
        let [over] = &*lines else { panic!("{lines:?}") };
        assert!(over.contains("INFO") && over.contains("again"), "{over}");
    }
}

#[tokio::test(start_paused = true)]
async fn clocks_that_differ_by_more_than_half_a_minute_are_told() {
    for (skew, told) in [(0, false), (-30, false), (30, false), (-31, true), (31, true), (-86_400, true)] {
        let (log, _guard) = Log::new();
        let keystone = Keystone::new();
        keystone.skew(skew);
        token(&keystone.plugin()).await.unwrap();
        let lines = log.lines();
        assert_eq!(lines.len(), usize::from(told), "{skew}: {lines:?}");
        assert!(lines.iter().all(|line| line.contains(&format!("seconds={}", skew.abs()))), "{lines:?}");
    }
}
