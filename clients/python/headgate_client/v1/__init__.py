"""Generated from headgate/v1/chat.proto by `make proto`; never edited."""
