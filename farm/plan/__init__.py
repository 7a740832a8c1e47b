"""Pure decisions: what goes where and what happens next. Time is an argument."""
