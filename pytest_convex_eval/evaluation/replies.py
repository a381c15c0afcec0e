"""The replies of a run: what each item asks, who asks it, and what it cost.

The controller generates ahead of checking, with one limiter and one budget; workers wait for their
item's reply in the store, and ask themselves where there is no controller.
"""

from __future__ import annotations

import contextlib
import datetime
import os
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from pytest_convex_eval.evaluation.providers import Patience, Providers
from pytest_convex_eval.generation.ahead.notices import Notices
from pytest_convex_eval.generation.ahead.prefetch import Job, Prefetcher, Progress, wait_for
from pytest_convex_eval.generation.answers.folder import AnswersFolder, CaseName
from pytest_convex_eval.generation.arms import Arm
from pytest_convex_eval.generation.pricing import PriceTable, show_estimate
from pytest_convex_eval.generation.prompts import build_request
from pytest_convex_eval.generation.reading.reply import judge_stop, parse_reply
from pytest_convex_eval.generation.reference_provider import ReferenceProvider
from pytest_convex_eval.generation.store import GenerationStore, Retrieval
from pytest_convex_eval.generation.strategies import (
    first_request,
    next_request,
    repair_request,
)
from pytest_convex_eval.generation.vendor import Batching, BatchProgress
from pytest_convex_eval.outcomes import (
    REFERENCE,
    Files,
    Finding,
    Generated,
    InfrastructureError,
    RequestFacts,
)

if TYPE_CHECKING:
    from pytest_convex_eval.cases.plan import Plan
    from pytest_convex_eval.generation.model_choice import Vendors
    from pytest_convex_eval.generation.provider import Generation, Provider, Request
    from pytest_convex_eval.options import Settings

_NOTICES = "generation"


PATIENCE = Patience()
"""That of every run, unless its `Replies` are given another."""


class UnansweredError(InfrastructureError):
    """There is no answer, and not by the model's fault; `generated` is what was paid for before."""

    def __init__(self, error: InfrastructureError, generated: Generated) -> None:
        super().__init__(str(error), detail=error.detail)
        self.generated = generated


@dataclass(frozen=True, slots=True)
class ItemReply:
    """An answer as it was read, what reading it found, and where it came from."""

    answer: Files
    remarks: tuple[Finding, ...]
    generated: Generated
    generation: Generation | None = None
    design: str | None = None


class Replies:
    """The replies of one process's items. `close` ends what was started."""

    def __init__(
        self,
        settings: Settings,
        arms: Sequence[Arm],
        run_folder: Path,
        vendors: Vendors,
        *,
        patience: Patience | None = None,
    ) -> None:
        self._settings = settings
        self._patience = patience or PATIENCE
        self._arms = {arm.name: arm for arm in arms}
        self._folder = run_folder / _NOTICES
        self._answers = {source.name: AnswersFolder(source) for source in settings.answers}
        self._store = GenerationStore(settings.store, settings.store_mode, run=run_folder.name)
        self._notices = Notices(self._folder)
        self._vendors = vendors
        self._prices = PriceTable.merged([vendors.prices(), PriceTable.of_lines(settings.prices)])
        self._providers = Providers(settings, vendors, self._prices, self._folder, self._patience)
        self._prefetcher: Prefetcher | None = None
        self._jobs: list[Job] = []

    def check_answers(self) -> None:
        """Raises ConfigurationError for folders of answers that can't be read."""
        for folder in self._answers.values():
            folder.check()

    def plan_ahead(self, plans: Iterable[Plan]) -> str:
        """Learns what the run's items need, in their order; says what of it is to be made, and what
        that will probably cost. Once, by the controller; "" where no model has to be asked.
        """
        strategy = self._settings.strategy
        jobs = [
            Job(
                first_request(self._request(plan), strategy),
                plan.trial,
                _label(plan),
                then=lambda generation: next_request(generation, strategy),
            )
            for plan in plans
            if self._settings.is_asked(plan.model) and plan.mutant is None
        ]
        if not jobs or self._settings.store_mode == "replay":
            return ""
        self._jobs = jobs
        missing = [job for job in jobs if self._store.lookup(job.request, job.trial) is None]
        there = len(jobs) - len(missing)
        if not missing:
            return f"all {there} replies are in the store"
        estimate = self._prices.estimate(
            [job.request for job in missing],
            _today(),
            observed=self._observed(jobs),
            batch=self._settings.batch,
        )
        return (
            f"{there} replies are in the store, {len(missing)} to be made, "
            f"estimated {show_estimate(estimate)}"
        )

    def make_batches(self, on_progress: Callable[[BatchProgress], None]) -> None:
        """Has all that was planned made as its vendor's batches, and waits for them.

        What fails is told to the items that need it. Raises ConfigurationError and
        InfrastructureError where the batches as a whole can't be had.
        """
        jobs: dict[str, list[Job]] = defaultdict(list)
        for job in self._jobs:
            model = self._providers.model(job.request.model)
            if self._vendors.of(model).missing(model, os.environ) is None:
                jobs[model.vendor].append(job)
        batching = Batching(
            os.environ,
            self._store,
            self._prices,
            self._providers.budget,
            self._notices,
            on_progress,
        )
        for its in jobs.values():
            vendor = self._vendors.of(self._providers.model(its[0].request.model))
            vendor.make_batches(its, batching)

    def prefetch(self, on_progress: Callable[[Progress], None]) -> None:
        """Begins to generate what was planned, ahead of checking. Raises InfrastructureError."""
        if not self._jobs:
            return
        self._prefetcher = Prefetcher(
            self._store,
            self._provider_for,
            self._notices,
            concurrency=self._settings.concurrency,
            gates=self._providers.gates,
            deadline_seconds=self._patience.deadline_seconds,
            on_progress=on_progress,
        )
        self._prefetcher.start(self._jobs)

    def reply(self, plan: Plan) -> ItemReply:
        """The reply to `plan`, made or waited for.

        Raises InfrastructureError when there is none (UnansweredError where something was paid for
        all the same), ConfigurationError for what must stop the
        run, BudgetExhaustedError when there is no money for it.
        """
        case = plan.loaded.case
        if plan.mutant is not None:
            files = plan.mutant.applied_to({**case.files, **case.reference})
            return ItemReply(files, (), Generated("mutant"))
        request = self._request(plan)
        if plan.model in self._answers:
            return self._read_from_disk(plan, self._retrieve(plan, request))
        if plan.model == REFERENCE:
            return self._read(plan, [self._retrieve(plan, request)])
        strategy = self._settings.strategy
        first = self._retrieve(plan, first_request(request, strategy))
        following = next_request(first.generation, strategy)
        if following is None:
            return self._read(plan, [first])
        with self._paid_for(plan, self._requests(plan, [first])):
            second = self._retrieve(plan, following)
        reply = self._read(plan, [first, second])
        return replace(reply, design=first.generation.text)

    def repaired(self, plan: Plan, reply: ItemReply, findings: str, round_number: int) -> ItemReply:
        """The reply to what the checks found in `reply`; `round_number` counts from 1.

        Raises as `reply` does.
        """
        assert reply.generation is not None
        before = reply.generation
        request = repair_request(before.request, before, findings, round_number)
        repaired = self._read(plan, [self._retrieve(plan, request)], reply.generated.requests)
        return replace(repaired, design=reply.design)

    def _retrieve(self, plan: Plan, request: Request) -> Retrieval:
        known = self._known(plan)
        return wait_for(
            self._store,
            self._notices,
            request,
            plan.trial,
            lambda request: known or self._provider_for(request),
            label=_label(plan),
            deadline_seconds=self._patience.deadline_seconds,
        )

    def _known(self, plan: Plan) -> Provider | None:
        """What gives an answer that is known before; None for a model that has to be asked."""
        if plan.model == REFERENCE:
            return ReferenceProvider(plan.loaded.case.reference)
        folder = self._answers.get(plan.model)
        if folder is None:
            return None
        loaded = plan.loaded
        case = CaseName(loaded.category, loaded.difficulty, loaded.name)
        return folder.provider(case, plan.trial)

    def _read_from_disk(self, plan: Plan, retrieval: Retrieval) -> ItemReply:
        """An answer that nobody was asked for here: there is no request to tell of."""
        parsed = parse_reply(retrieval.generation.text)
        generated = Generated(plan.model, parsed.rung)
        return ItemReply(parsed.files, parsed.findings, generated, retrieval.generation)

    def _read(
        self,
        plan: Plan,
        retrievals: Sequence[Retrieval],
        before: tuple[RequestFacts, ...] = (),
    ) -> ItemReply:
        """The last of `retrievals` as an answer, and what all of them took, and those `before`."""
        retrieval = retrievals[-1]
        generation = retrieval.generation
        parsed = parse_reply(generation.text)
        requests = (*before, *self._requests(plan, retrievals))
        with self._paid_for(plan, requests):
            stop = generation.stop
            stopped = judge_stop(stop.reason, told=stop.told, category=stop.category)
        source = "store" if retrieval.stored else plan.model
        return ItemReply(
            parsed.files,
            (*((stopped,) if stopped else ()), *parsed.findings),
            Generated(source, parsed.rung, requests),
            generation,
        )

    @contextlib.contextmanager
    def _paid_for(self, plan: Plan, requests: tuple[RequestFacts, ...]) -> Iterator[None]:
        """What goes wrong in the block comes after `requests`, which are counted all the same."""
        try:
            yield
        except InfrastructureError as error:
            source = "store" if requests[-1].stored else plan.model
            raise UnansweredError(error, Generated(source, None, requests)) from error

    def close(self) -> None:
        """Ends the prefetch within a second: whole replies are kept, the rest is given up."""
        if self._prefetcher is not None:
            self._prefetcher.close()
            self._prefetcher = None
        self._providers.close()

    def _request(self, plan: Plan) -> Request:
        request = build_request(
            model=plan.model,
            arm=self._arms[plan.arm],
            prompt=plan.loaded.case.prompt,
            files=plan.loaded.case.files,
            max_tokens=self._settings.max_tokens,
        )
        if not self._settings.is_asked(plan.model):
            return request
        return self._providers.model(plan.model).asked(request)

    def _provider_for(self, request: Request) -> Provider | None:
        return self._providers.of(request.model)

    def _observed(self, jobs: Iterable[Job]) -> dict[str, list[int]]:
        """The output tokens of stored replies by model: the best guess at those to come."""
        observed: dict[str, list[int]] = defaultdict(list)
        for job in jobs:
            with contextlib.suppress(InfrastructureError):
                found = self._store.lookup(job.request, job.trial)
                tokens = None if found is None else found.generation.usage.tokens
                if tokens is not None:
                    observed[job.request.model].append(tokens.output)
        return observed

    def _requests(self, plan: Plan, retrievals: Sequence[Retrieval]) -> tuple[RequestFacts, ...]:
        return tuple(self._facts(plan, retrieval) for retrieval in retrievals)

    def _facts(self, plan: Plan, retrieval: Retrieval) -> RequestFacts:
        generation = retrieval.generation
        facts = RequestFacts(
            retrieval.key, retrieval.stored, generation.stop.reason, generation.seconds
        )
        if plan.model == REFERENCE:
            return facts
        tokens = generation.usage.tokens
        cost = self._prices.cost(generation)
        return replace(
            facts,
            input_tokens=None if tokens is None else tokens.prompt,
            output_tokens=None if tokens is None else tokens.output,
            usd=None if cost is None else cost.usd,
        )


def _label(plan: Plan) -> str:
    return f"{plan.loaded.name}[{plan.model}]"


def _today() -> datetime.date:
    return datetime.datetime.now(datetime.UTC).date()
