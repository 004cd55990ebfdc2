// Which metrics of a step share a panel, and what each panel means. Names are the trainer's.

// `main` is the series that the figure beside the title tells; `fromZero` begins the axis there.
const PANELS = [
  { title: "Reward", match: /^reward(_mean)?(\/|$)/, meaning: "Mean over the step's samples, in all and by task.", main: "reward_mean", fromZero: true },
  { title: "Held-out", match: /^(heldout|held_out|validation|eval|score|pair_accuracy|accuracy)/, meaning: "On items that training never sees.", fromZero: true },
  { title: "Divergence from the start", match: /^(kl|reference_kl)(_|\/|$)/, meaning: "KL from the initial policy, nats per token.", fromZero: true },
  { title: "Gradient norm", match: /^grad_norm/, meaning: "Before clipping.", fromZero: true },
  { title: "Sampler and trainer", match: /mismatch/, meaning: "Difference of their log-probabilities for the same token.", main: "logprob_mismatch_max", fromZero: true },
  { title: "Seconds by phase", match: /^seconds\//, meaning: "Where the time of a step goes.", stacked: true },
  { title: "Loss", match: /^loss/, meaning: "Of the step." },
  { title: "Entropy", match: /^entropy/, meaning: "Of the policy, nats per token." },
  { title: "Samples", match: /^(samples|dropped)(\/|$)/, meaning: "Learned from, and dropped by reason.", main: "samples", fromZero: true },
  { title: "Answer length", match: /^answer_tokens/, meaning: "Tokens per answer." },
  { title: "Clipped", match: /(clip_fraction|truncated_fraction)/, meaning: "Share of tokens at the bounds.", fromZero: true },
  { title: "Spread of rewards", match: /^reward_std/, meaning: "Standard deviation over the step's samples.", fromZero: true },
  { title: "Learning rate", match: /^learning_rate/, meaning: "Of the optimiser.", fromZero: true },
];
const HIDDEN = /^skipped$/;

/** The panels that a run has metrics for, in order: [{title, meaning, stacked, names}]. */
export function panelsOf(names) {
  const shown = names.filter((name) => !HIDDEN.test(name)).sort();
  const panels = PANELS.map((panel) => ({ ...panel, names: shown.filter((n) => panel.match.test(n)) }));
  const placed = new Set(panels.flatMap((panel) => panel.names));
  const rest = new Map();
  for (const name of shown.filter((n) => !placed.has(n))) {
    const group = name.split("/")[0];
    rest.set(group, [...(rest.get(group) ?? []), name]);
  }
  const others = [...rest].map(([title, own]) => ({ title: sentence(title), meaning: "", names: own }));
  return [...panels.filter((panel) => panel.names.length), ...others];
}

/** "reward_mean/draw" as "draw"; the name without a part is the main series. */
export function seriesLabel(name) {
  const slash = name.indexOf("/");
  return (slash < 0 ? name.replace(/^logprob_mismatch_/, "") : name.slice(slash + 1)).replaceAll("_", " ");
}

export const isMain = (name) => !name.includes("/");

const sentence = (name) => name.charAt(0).toUpperCase() + name.slice(1).replaceAll("_", " ");
