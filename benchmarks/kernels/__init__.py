"""One recurrent layer, ours and the peers', timed in turns in one run and checked before a time is taken.

``make bench`` sets it up and runs it; `__main__` is its command line. How it measures:

- `truth` makes a case's input, weights and upstream gradient from one seed, and computes outputs and
  gradients with the plain loop in float64. Every peer gets the same numbers; one whose outputs or gradients
  are further from the truth than `check.TOLERANCE` is not timed, and its row says why.
- Each library lives in processes of its own (`hosts`, `child`), with as many threads and processors as the
  others have: one process with malloc as it is, one that keeps freed memory. Models, data and compiled code
  are ready before the first turn.
- `run` gives turns of about 50 ms in an order drawn anew each round; the others sleep meanwhile. A row holds
  the 20th, 50th and 80th percentile of single calls, and how much of the machine anyone else used then.
- Arrays lie as each peer has them by default: time first for torch, JAX and ONNX Runtime, batch first for
  Keras and ours. All states are outputs; in training every one of them has an upstream gradient, and the
  gradients of the input and of all weights are computed. Nobody's recurrent mask but ours is drawn within
  the time.
- `peak` measures the machine's fused multiply-adds a second in the same run.

`peers` holds who is timed, a short file a library; `table` and `plot` show the rows.
"""
