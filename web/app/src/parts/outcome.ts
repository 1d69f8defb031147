// The reason for the pay of a duty, in words.

import type { ClosedDuty } from "../lib/request.ts";
import { t } from "../strings.ts";

export function reason({ outcome, role }: ClosedDuty): string {
  switch (outcome.type) {
    case "Paid":
      return t.outcome.paid(outcome.value, role.type);
    case "BelowMinQuality":
      return t.outcome.below(outcome.value);
    case "Disagreed":
      return t.outcome.disagreed;
    case "Failed":
      return t.outcome.failed(outcome.value.type);
    case "NotCommitted":
      return t.outcome.notCommitted;
    case "NotRevealed":
      return t.outcome.notRevealed;
    case "Refunded":
      return t.outcome.refunded(outcome.value.type);
    case "Dismissed":
      return t.outcome.dismissed;
    case "NotPayable":
      return t.outcome.notPayable;
    case "TooSlow":
      return t.outcome.tooSlow(outcome.value, role.type);
  }
}
