"""Tests follow the folders: a module has its mirror, or is listed with what tests it or why not."""

from pathlib import Path

ROOT = Path(__file__).parent.parent
PACKAGES = ("pipeline", "flows", "scorers", "storage", "fine_tune")

TESTED_WITH = {
    # what is a part of one thing, and is tested through it
    "fine_tune/block.py": "flows/test_deployments.py",
    "fine_tune/catalogue.py": "fine_tune/methods/test_contract.py",
    "fine_tune/checked_rows.py": "fine_tune/test_train.py",
    "fine_tune/collate.py": "fine_tune/test_weighted_trainer.py",
    "fine_tune/cost.py": "fine_tune/test_outcome.py",
    "fine_tune/files.py": "fine_tune/test_train.py",
    "fine_tune/method.py": "fine_tune/methods/test_contract.py",
    "fine_tune/mixed_export.py": "fine_tune/test_mixed_rows.py",
    "fine_tune/one_training.py": "fine_tune/test_train.py",
    "fine_tune/prepared_rows.py": "fine_tune/test_verify_tokens.py",
    "fine_tune/report.py": "fine_tune/test_train.py",
    "fine_tune/row_checks.py": "fine_tune/test_train.py",
    "fine_tune/saved_weights.py": "fine_tune/test_train.py",
    "fine_tune/stage_settings.py": "fine_tune/test_settings.py",
    "fine_tune/wrapped_model.py": "fine_tune/test_weighted_trainer.py",
    "pipeline/advice/mixture_runs.py": "pipeline/advice/test_mixture_model.py",
    "pipeline/contamination/recall.py": "pipeline/contamination/test_search.py",
    "pipeline/contamination/settings.py": "pipeline/contamination/test_stage.py",
    "pipeline/contamination/windows.py": "pipeline/contamination/test_ngrams.py",
    "pipeline/dedupe/stage.py": "pipeline/dedupe/test_stored.py",
    "pipeline/dedupe/step.py": "pipeline/dedupe/test_stored.py",
    "pipeline/documents/borders.py": "pipeline/documents/test_sentences.py",
    "pipeline/documents/built_text.py": "pipeline/documents/test_html_text.py",
    "pipeline/documents/extracted.py": "pipeline/documents/test_kinds.py",
    "pipeline/documents/settings.py": "pipeline/documents/test_stage.py",
    "pipeline/documents/tokenizer.py": "pipeline/documents/test_stage.py",
    "pipeline/documents/units.py": "pipeline/documents/test_passages.py",
    "pipeline/export/preferences.py": "pipeline/export/test_rejected.py",
    "pipeline/extras.py": "pipeline/documents/test_stage.py",
    "pipeline/evidence/lengths.py": "pipeline/evidence/test_lengths_and_overlap.py",
    "pipeline/evidence/training_markdown.py": "flows/test_artifacts.py",
    "pipeline/evidence/overlap.py": "pipeline/evidence/test_lengths_and_overlap.py",
    "pipeline/export/settings.py": "pipeline/export/test_stage.py",
    "pipeline/export/shards.py": "pipeline/export/test_files.py",
    "pipeline/generation/answering_block.py": "pipeline/generation/makers/test_answer.py",
    "pipeline/generation/catalogue.py": "pipeline/generation/makers/test_contract.py",
    "pipeline/generation/listed_lines.py": "pipeline/generation/makers/test_eda.py",
    "pipeline/generation/make.py": "pipeline/generation/makers/test_contract.py",
    "pipeline/generation/maker.py": "pipeline/generation/test_engine.py",
    "pipeline/generation/maker_block.py": "pipeline/generation/makers/test_contract.py",
    "pipeline/generation/verifier.py": "pipeline/generation/makers/test_rejection.py",
    "pipeline/generation/verifier_catalogue.py": "pipeline/generation/makers/test_rejection.py",
    "pipeline/handoff/manifest.py": "pipeline/handoff/test_write.py",
    "pipeline/handoff/native_templates.py": "pipeline/handoff/test_frames.py",
    "pipeline/handoff/tool_texts.py": "pipeline/handoff/test_native_columns.py",
    "pipeline/handoff/plain_messages.py": "pipeline/handoff/test_catalogue.py",
    "pipeline/handoff/readme.py": "pipeline/handoff/test_write.py",
    "pipeline/handoff/token_rows.py": "pipeline/handoff/test_catalogue.py",
    "pipeline/handoff/trainer.py": "pipeline/handoff/test_catalogue.py",
    "pipeline/handoff/trainers/axolotl.py": "pipeline/handoff/test_catalogue.py",
    "pipeline/handoff/trainers/llamafactory.py": "pipeline/handoff/test_catalogue.py",
    "pipeline/handoff/trainers/ms_swift.py": "pipeline/handoff/test_catalogue.py",
    "pipeline/handoff/trainers/open_instruct.py": "pipeline/handoff/test_catalogue.py",
    "pipeline/handoff/trainers/trl.py": "pipeline/handoff/test_catalogue.py",
    "pipeline/handoff/trainers/verl.py": "pipeline/handoff/test_catalogue.py",
    "pipeline/handoff/yaml_text.py": "pipeline/handoff/test_write.py",
    "pipeline/handoff/readers/read_axolotl.py": "pipeline/handoff/test_verify.py",
    "pipeline/handoff/readers/read_llamafactory.py": "pipeline/handoff/test_verify.py",
    "pipeline/handoff/readers/read_ms_swift.py": "pipeline/handoff/test_verify.py",
    "pipeline/handoff/readers/read_open_instruct.py": "pipeline/handoff/test_verify.py",
    "pipeline/handoff/readers/read_trl.py": "pipeline/handoff/test_verify.py",
    "pipeline/handoff/readers/read_verl.py": "pipeline/handoff/test_verify.py",
    "pipeline/handoff/readers/rows_out.py": "pipeline/handoff/test_verify.py",
    "pipeline/serving/own_environment.py": "pipeline/serving/test_environment.py",
    "pipeline/measuring/judge.py": "pipeline/measuring/test_stage.py",
    "pipeline/measuring/measures/embeddings.py": "pipeline/contamination/test_stage.py",
    "pipeline/measuring/measures/judgements.py": "pipeline/measuring/test_stage.py",
    "pipeline/measuring/measures/preferences.py": "pipeline/selection/methods/test_clear_repair.py",
    "pipeline/measuring/measures/samples.py": "pipeline/measuring/test_stage.py",
    "pipeline/measuring/measures/token_counts.py": "pipeline/export/test_stage.py",
    "pipeline/measuring/pool_training.py": "pipeline/measuring/measures/test_trajectories.py",
    "pipeline/measuring/warm_up.py": "pipeline/measuring/measures/test_gradients.py",
    "pipeline/reporting/report.py": "pipeline/reporting/test_changes.py",
    "pipeline/selection/decisions.py": "pipeline/selection/test_candidates.py",
    "pipeline/selection/step.py": "pipeline/selection/test_steps.py",
    "pipeline/viewing/asked.py": "pipeline/viewing/test_app.py",
    "pipeline/viewing/opened_run.py": "pipeline/viewing/test_app.py",
    "pipeline/viewing/pages/pairs.py": "pipeline/viewing/test_app.py",
    "pipeline/viewing/pages/scores.py": "pipeline/viewing/test_app.py",
    "pipeline/viewing/pages/trying.py": "flows/cli/test_view.py",
    "pipeline/viewing/pages/reviewing.py": "pipeline/viewing/test_reviewing.py",
    "pipeline/viewing/pages/row_map.py": "pipeline/viewing/test_row_map.py",
    "pipeline/viewing/stored_map.py": "pipeline/viewing/test_row_map.py",
    "pipeline/viewing/pages/rows.py": "pipeline/viewing/test_app.py",
    "pipeline/viewing/pages/verdict.py": "pipeline/viewing/test_app.py",
    "pipeline/viewing/reasons.py": "pipeline/viewing/test_bring_in.py",
    "pipeline/viewing/row_page.py": "pipeline/viewing/test_app.py",
    "pipeline/tracing/found.py": "pipeline/tracing/test_spans.py",
    "pipeline/tracing/neighbours.py": "pipeline/tracing/test_trace.py",
    "pipeline/tracing/report.py": "pipeline/tracing/test_trace.py",
    "pipeline/tracing/row_ranking.py": "pipeline/tracing/test_spans.py",
    "scorers/measures/endpoint/logprobs.py": "scorers/measures/endpoint/test_judge.py",
    "scorers/measures/batches.py": "scorers/measures/models/test_embedder.py",
    "scorers/measures/endpoint/choices.py": "scorers/measures/endpoint/test_generator.py",
    "scorers/measures/training/adapter_training.py": "scorers/measures/training/test_gradients.py",
    "scorers/measures/training/gradient_cost.py": "scorers/measures/training/test_gradients.py",
    "scorers/measures/splitmix64.py": "scorers/measures/training/test_projection.py",
    "scorers/measures/training/recorded_losses.py": (
        "scorers/measures/training/test_trajectories.py"
    ),
    "scorers/measures/training/trajectory_files.py": (
        "scorers/measures/training/test_new_row_trajectories.py"
    ),
    # the recipe's checks are tested by what a wrong recipe is answered
    "flows/recipe/check_inputs.py": "flows/recipe/test_check.py",
    "flows/recipe/check_measures.py": "flows/recipe/test_check.py",
    "flows/recipe/check_selection.py": "flows/recipe/test_check.py",
    "flows/recipe/form.py": "flows/recipe/test_check.py",
    # flows and verbs are tested on a real server and as commands
    "flows/cli/backfill.py": "flows/test_prefect_server.py",
    "flows/cli/deploy.py": "flows/test_prefect_server.py",
    "flows/cli/retry.py": "flows/test_retry_rows.py",
    "flows/cli/environment.py": "flows/cli/test_main.py",
    "flows/cli/explain.py": "flows/cli/test_run.py",
    "flows/cli/trial.py": "flows/test_compare_arms.py",
    "flows/draw_arms.py": "flows/test_compare_arms.py",
    "flows/prepare_trial.py": "flows/test_compare_arms.py",
    "flows/price_trial.py": "flows/test_compare_arms.py",
    "flows/cli/verify_handoff.py": "flows/cli/test_handoff.py",
    "flows/cli/init.py": "flows/cli/test_main.py",
    "flows/cli/models.py": "flows/cli/test_main.py",
    "flows/cli/options.py": "flows/cli/test_main.py",
    "flows/cli/quarantine.py": "flows/cli/test_run.py",
    "flows/cli/report.py": "flows/cli/test_run.py",
    "flows/cli/server.py": "flows/test_prefect_server.py",
    "flows/report_workspace.py": "flows/test_prefect_server.py",
    "flows/submit_backfill.py": "flows/test_prefect_server.py",
    "flows/submit_run.py": "flows/test_prefect_server.py",
    # SQL is tested by the stage that asks it
    "storage/handovers.py": "flows/test_export_event.py",
    "storage/evidence.py": "pipeline/selection/test_evidence.py",
    "storage/explain.py": "flows/cli/test_run.py",
    "storage/maker_calls.py": "pipeline/generation/makers/test_contract.py",
    "storage/licenses.py": "pipeline/selection/methods/test_licenses.py",
    "storage/personal_data.py": "pipeline/cleaning/test_stage.py",
    "storage/provenance.py": "pipeline/export/test_verify.py",
    "storage/repairs.py": "pipeline/selection/methods/test_clear_repair.py",
    "storage/alike_pairs.py": "pipeline/viewing/test_app.py",
    "storage/run_rows.py": "pipeline/viewing/test_app.py",
    "storage/rows.py": "storage/test_asked.py",
    "storage/vectors.py": "storage/test_asked.py",
    "storage/verdicts.py": "pipeline/advice/test_suggest.py",
    "storage/what_if.py": "flows/cli/test_what_if.py",
    "storage/workspace_mark.py": "pipeline/viewing/test_page_mark.py",
}
"""Module → the test that looks at it, where that is not its mirror."""

NOTHING_TO_TEST = {
    "pipeline/code_version.py",  # a hash; what refuses another one is in measuring/shard_work.py
    "pipeline/dedupe/steps.py",  # a list
    "pipeline/run_context.py",  # fields
    "pipeline/settings.py",  # fields
    "scorers/measures/protocols.py",  # protocols and fields
    "scorers/measures/quiet.py",  # switches of transformers
    "scorers/measures/training/graded_pair.py",  # fields
    "storage/migrations.py",  # statements; applying them is tested with database.py and upgrade.py
    "storage/workspace.py",  # paths
}


def modules() -> list[str]:
    return sorted(
        path.relative_to(ROOT).as_posix()
        for package in PACKAGES
        for path in (ROOT / package).rglob("*.py")
        if path.name != "__init__.py"
    )


def mirror(module: str) -> Path:
    path = Path(module)
    return ROOT / "tests" / path.parent / f"test_{path.name}"


def complaint(module: str) -> str | None:
    """What is wrong with a module's tests."""
    listed = module in TESTED_WITH or module in NOTHING_TO_TEST
    if mirror(module).exists():
        return f"{module} is listed here and has its mirror" if listed else None
    if not listed:
        return f"{module} has no {mirror(module).relative_to(ROOT)}, and is not listed here"
    named = TESTED_WITH.get(module)
    gone = named is not None and not (ROOT / "tests" / named).exists()
    return f"{module} is tested with {named}, which is gone" if gone else None


def test_every_module_has_its_test() -> None:
    assert [said for module in modules() if (said := complaint(module))] == []


def test_what_is_listed_is_there() -> None:
    listed = {*TESTED_WITH, *NOTHING_TO_TEST}
    assert listed - set(modules()) == set()
    assert set(TESTED_WITH) & NOTHING_TO_TEST == set()
