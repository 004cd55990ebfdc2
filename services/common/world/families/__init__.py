"""One file per family of tasks: `compose` makes an exercise, `check_answer` judges an answer."""
