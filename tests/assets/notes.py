"""Notes in Markdown: headings, a table, a list of things to do, code and a footnote."""

_NOTES = """\
---
keeper: Søren Åkesson
---

# Notes from the northern tower

The lamp burns again[^lamp]. What follows is what the next keeper should know, in the order in which it will be needed.
The long story is in [the log](#the-log-of-the-week); the drawings lie in the **second drawer**.

## To do

- [x] Fit the three lenses
- [x] Clean the gallery windows
- [ ] Oil the *clockwork*, ~~weekly~~ every second week
- [ ] Write to Ms Þórsdóttir in Berlin

## The log of the week

| Day       | Wind    | Visibility | Ships |
| :-------- | :------ | ---------: | ----: |
| Monday    | SW, 4   |      12 nm |    17 |
| Tuesday   | W, 6    |       7 nm |     9 |
| Wednesday | NW, 9   |       1 nm |     2 |
| Thursday  | calm    |      20 nm |    31 |

> Wednesday, 23:40. The ferry asks whether our light is on. It is. They could not see it.

## Turning the lens

1. Wind the weight up to the red mark.
2. Wait for the click.
3. Count one turn in thirty seconds:

```python
def turns(seconds: float) -> float:
    \"\"\"How often the lens has gone round.\"\"\"
    return seconds / 30
```

If it is slower, `turns(60)` will not be 2, and the ships will take us for another island. 灯台 means lighthouse.

[^lamp]: Since the ninth of February, at 17:05.
"""


def notes() -> bytes:
    """The notes as UTF-8."""
    return _NOTES.encode()
