"""What the server's layer is made of: readers, their ends, and what they are told."""

from __future__ import annotations

from mutations.mutation import Mutation

_SOCKET = "tests/server/test_live_socket.py"

SERVER_MUTATIONS: tuple[Mutation, ...] = (
    Mutation(
        "one-line",
        "what threads hand to the loop is done in its order",
        "pyrite_watch/server/context.py",
        "            self.manager.do_soon(partial(hub.publish_events, report.events), loop)\n",
        "            loop.call_soon_threadsafe(hub.publish_events, report.events)\n",
        (
            "tests/server/test_socket_testclient.py::test_a_guest_does_not_overtake_events_while_the_loop_is_busy",
        ),
    ),
    Mutation(
        "broadcast-line",
        "a broadcast stands in the same line",
        "pyrite_watch/server/websocket.py",
        "        self.broadcast_soon(event)\n        loop = self._loop\n",
        "        self.hub.publish([guest_frame(event)])\n        loop = self._loop\n",
        ("tests/server/test_manager.py::test_a_broadcast_does_not_overtake_what_threads_told_before_it",),
    ),
    Mutation(
        "line-fault",
        "what fails in the line keeps nothing else from being done",
        "pyrite_watch/live/inbox.py",
        "            except Exception as error:",
        "            except MemoryError as error:",
        ("tests/live/test_inbox.py",),
    ),
    Mutation(
        "line-ended",
        "a loop that has ended is given nothing more",
        "pyrite_watch/live/inbox.py",
        "        if self._loop.is_closed():\n",
        "        if False:\n",
        ("tests/live/test_inbox.py",),
    ),
    Mutation(
        "claimed-loop",
        "a manager that tells an app's events stays in its loop",
        "pyrite_watch/server/websocket.py",
        " or self.claimed_by is self._loop\n",
        "\n",
        ("tests/server/test_manager.py",),
    ),
    Mutation(
        "closed-by-peer",
        "a peer that closes and reads nothing is reset",
        "pyrite_watch/server/protocol.py",
        "        super().handle_close(event)\n        self.abort_after(self.close_timeout_s)\n",
        "        super().handle_close(event)\n",
        (f"{_SOCKET}::test_a_peer_that_says_it_goes_and_reads_nothing_is_reset",),
    ),
    Mutation(
        "ended-by-peer",
        "a peer that sends no more and reads nothing is reset",
        "pyrite_watch/server/protocol.py",
        "        super().eof_received()\n        self.abort_after(self.close_timeout_s)\n",
        "        super().eof_received()\n",
        (f"{_SOCKET}::test_a_peer_that_says_it_goes_and_reads_nothing_is_reset",),
    ),
    Mutation(
        "second-close",
        "a stop sends no second close",
        "pyrite_watch/server/protocol.py",
        "        if self.conn.state is State.CLOSING and not self.close_sent:\n",
        "        if False:\n",
        (f"{_SOCKET}::test_a_stop_while_a_close_waits_to_be_read_closes_the_others",),
    ),
    Mutation(
        "replay-fault",
        "a reader whose replay fails is closed",
        "pyrite_watch/server/websocket.py",
        '            await self._close(TRY_AGAIN, "the log cannot be read now: reconnect with since")\n',
        "            self._forget()\n",
        ("tests/server/test_socket_testclient.py::test_a_reader_whose_replay_cannot_be_read_is_closed",),
    ),
    Mutation(
        "down-readers",
        "a watch that goes down takes its readers with it",
        "pyrite_watch/server/context.py",
        "        pipeline.on_failure.append(end)\n",
        "",
        ("tests/server/test_embedding.py::test_a_watch_that_goes_down_takes_its_readers_with_it",),
    ),
    Mutation(
        "not-watched",
        "where nothing is watched no socket is told that it is live",
        "pyrite_watch/server/websocket.py",
        "    if not (live.has_run and live.pipeline.is_open):\n",
        "    if False:\n",
        ("tests/server/test_embedding.py::test_an_app_whose_lifespan_does_not_run_says_so",),
    ),
    Mutation(
        "error-position",
        "an error has the position at which it was found",
        "pyrite_watch/server/context.py",
        "        request.scope[_POSITION] = snapshot.position  # for an error, which is another answer\n",
        "",
        ("tests/server/test_http_api.py::test_an_error_has_the_position_at_which_it_was_found",),
    ),
    Mutation(
        "stalled-answer",
        "a peer that takes nothing of an answer is reset",
        "pyrite_watch/server/http_protocol.py",
        "            reset(self.transport)\n",
        "            self._look_after(delay_s)\n",
        ("tests/server/test_event_stream.py::test_a_stream_that_takes_nothing_is_ended",),
    ),
    Mutation(
        "slow-answer",
        "a peer that takes a little of it is not",
        "pyrite_watch/server/http_protocol.py",
        " + int.from_bytes(held, sys.byteorder)\n",
        "\n",
        ("tests/server/test_event_stream.py::test_an_answer_that_is_read_slowly_comes_whole",),
    ),
)
"""In the order of the way to a reader."""
