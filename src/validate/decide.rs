//! Decides what the answers about the tokens of a request mean for the request.
