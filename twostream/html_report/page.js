"use strict";
// Sorts tables, and fuses two runs' scores anew at the share that the slider says. Whatever is computed here
// repeats what `twostream fuse` computes, step by step, so that it prints the same figures.

(() => {
  // ---------------------------------------------------------------- tables that can be sorted

  for (const table of document.querySelectorAll("table.sortable")) {
    const heads = [...table.tHead.rows[0].cells];
    const body = table.tBodies[0];
    heads.forEach((head, column) => {
      const button = head.querySelector("button");
      const isNumber = button.dataset.kind === "number";
      const value = (row) => {
        const cell = row.cells[column];
        return isNumber ? Number(cell.dataset.value) : cell.textContent;
      };
      const compare = isNumber
        ? (a, b) => value(a) - value(b)
        : (a, b) => value(a).localeCompare(value(b), undefined, { numeric: true });
      button.addEventListener("click", () => {
        // Numbers are first sorted with the largest on top, names from A on.
        const now = head.getAttribute("aria-sort");
        const first = isNumber ? "descending" : "ascending";
        const second = isNumber ? "ascending" : "descending";
        const order = now === first ? second : first;
        const sign = order === "ascending" ? 1 : -1;
        heads.forEach((other) => other.setAttribute("aria-sort", "none"));
        head.setAttribute("aria-sort", order);
        body.append(...[...body.rows].sort((a, b) => sign * compare(a, b)));
      });
    });
  }

  // ---------------------------------------------------------------- the weight of the fusion

  const holder = document.getElementById("data");
  if (!holder) return;
  const data = JSON.parse(holder.textContent);
  const N = data.videos, K = data.classes.length, BINS = 15;

  const bytes = (text) => Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0)).buffer;
  const littleEndian = (text, width, read) => {
    const view = new DataView(bytes(text));
    return Float64Array.from({ length: view.byteLength / width }, (_, i) => view[read](i * width, true));
  };
  const labels = littleEndian(data.labels, 4, "getInt32");

  // log softmax of each row of (N, K)
  const logProbabilities = (logits) => {
    const result = new Float64Array(N * K);
    for (let start = 0; start < N * K; start += K) {
      let most = -Infinity, sum = 0;
      for (let i = start; i < start + K; i++) most = Math.max(most, logits[i]);
      for (let i = start; i < start + K; i++) sum += Math.exp(logits[i] - most);
      for (let i = start; i < start + K; i++) result[i] = logits[i] - most - Math.log(sum);
    }
    return result;
  };
  const [first, second] = data.logits.map((text) => logProbabilities(littleEndian(text, 4, "getFloat32")));

  // the logarithms of the averaged probabilities, rounded to 32 bits as scores are kept
  const fuse = (share) => {
    const total = 1 - share + share;
    const one = Math.log((1 - share) / total), other = Math.log(share / total);
    const result = new Float64Array(N * K);
    for (let i = 0; i < N * K; i++) {
      const a = first[i] + one, b = second[i] + other;
      const high = Math.max(a, b), low = Math.min(a, b);
      result[i] = Math.fround(high + Math.log1p(Math.exp(low - high)));
    }
    return result;
  };

  const measure = (logits) => {
    const counts = Array.from({ length: K }, () => new Array(K).fill(0));
    const right = new Array(K).fill(0), videos = new Array(K).fill(0);
    const surplus = new Array(BINS + 1).fill(0);
    const sure = logProbabilities(logits);
    let top1 = 0, top5 = 0, likelihood = 0;
    for (let row = 0; row < N; row++) {
      const start = row * K, label = labels[row], own = logits[start + label];
      let rank = 0, best = 0;
      for (let k = 0; k < K; k++) {
        if (logits[start + k] >= own) rank++; // a tie counts against the true class
        if (logits[start + k] > logits[start + best]) best = k;
      }
      const isRight = rank === 1;
      top1 += isRight;
      top5 += rank <= 5;
      right[label] += isRight;
      videos[label]++;
      counts[label][best]++;
      likelihood -= sure[start + label];
      const confidence = Math.exp(sure[start + best]);
      const bin = Math.min(BINS, Math.max(1, Math.ceil(confidence * BINS)));
      surplus[bin] += confidence - isRight;
    }
    const seen = videos.map((count, k) => [right[k], count]).filter(([, count]) => count > 0);
    return {
      counts,
      top1: top1 / N,
      top5: top5 / N,
      mean_class: seen.reduce((sum, [ok, count]) => sum + ok / count, 0) / seen.length,
      calibration_error: surplus.reduce((sum, one) => sum + Math.abs(one), 0) / N,
      negative_log_likelihood: likelihood / N,
    };
  };

  // With one digit after the point. Python rounds what lies in the middle to the even digit, and
  // toFixed upwards.
  const tenths = (value) => {
    const inTheMiddle = Number.isInteger(4 * value) && !Number.isInteger(2 * value);
    if (!inTheMiddle) return value.toFixed(1);
    const below = Math.floor(10 * value);
    return ((below % 2 === 0 ? below : below + 1) / 10).toFixed(1);
  };
  const shown = (name, value) =>
    name === "negative_log_likelihood" ? value.toFixed(2) : tenths(100 * value);

  const showMatrix = (counts) => {
    const table = document.getElementById("moving-confusion");
    if (table.classList.contains("confusion")) {
      [...table.tBodies[0].rows].forEach((row, label) => {
        const sum = counts[label].reduce((a, b) => a + b, 0);
        counts[label].forEach((count, k) => {
          const cell = row.cells[k + 1];
          cell.textContent = count || "";
          cell.style.setProperty("--share", sum ? ((100 * count) / sum).toFixed(1) : "0.0");
        });
      });
      return;
    }
    const pairs = [];
    counts.forEach((row, label) =>
      row.forEach((count, k) => count && k !== label && pairs.push([count, label, k])));
    pairs.sort((a, b) => b[0] - a[0] || a[1] - b[1] || a[2] - b[2]);
    table.tBodies[0].replaceChildren(
      ...pairs.slice(0, data.pairs).map(([count, label, k]) => {
        const row = document.createElement("tr");
        for (const text of [data.classes[label], data.classes[k], count]) {
          row.insertCell().textContent = text;
        }
        row.cells[2].className = "number";
        return row;
      }));
  };

  const slider = document.getElementById("share");
  const exact = document.getElementById("exact");
  const marker = document.getElementById("share-marker");

  const show = (share) => {
    const found = measure(fuse(share));
    for (const cell of document.querySelectorAll("#at-share [data-measure]")) {
      cell.textContent = shown(cell.dataset.measure, found[cell.dataset.measure]);
    }
    showMatrix(found.counts);
    const told = Number(share.toFixed(4));
    document.getElementById("now").textContent =
      `share ${told}: ${tenths(100 * found.top1)} % top-1, ${Math.round(found.top1 * N)} of ${N} videos`;
    slider.setAttribute("aria-valuetext", `${told}, ${tenths(100 * found.top1)} % top-1`);
    if (marker) {
      marker.setAttribute("transform", `translate(${(share - data.drawn_share) * data.units} 0)`);
    }
  };
  slider.addEventListener("input", () => {
    exact.value = slider.value;
    show(Number(slider.value));
  });
  exact.addEventListener("input", () => {
    const share = Number(exact.value);
    if (exact.value === "" || !(share >= 0 && share <= 1)) return;
    slider.value = share;
    show(share);
  });
  document.getElementById("reset").addEventListener("click", () => {
    exact.value = slider.value = data.share;
    show(data.share);
  });
  exact.value = slider.value = data.share;
  show(data.share);
})();
