"use strict";
(() => {
  const dark = window.matchMedia("(prefers-color-scheme: dark)");
  const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

  // The look of a chart, in the colours of the page.
  const template = () => {
    const axis = { gridcolor: colour("--line"), zerolinecolor: colour("--line"), linecolor: colour("--line"), color: colour("--soft") };
    const wall = { ...axis, showbackground: false };
    return {
      layout: {
        paper_bgcolor: "rgba(0,0,0,0)",
        plot_bgcolor: "rgba(0,0,0,0)",
        font: { color: colour("--text"), family: "system-ui, sans-serif", size: 12 },
        modebar: { bgcolor: "rgba(0,0,0,0)", color: colour("--soft"), activecolor: colour("--link") },
        hoverlabel: { bgcolor: colour("--back"), bordercolor: colour("--line"), font: { color: colour("--text") } },
        xaxis: axis,
        yaxis: axis,
        scene: { xaxis: wall, yaxis: wall, zaxis: wall },
      },
    };
  };

  const drawn = [];
  const draw = (plot) => {
    drawn.push(plot);
    const spec = JSON.parse(document.getElementById(plot.dataset.spec).textContent);
    const layout = { ...spec.layout, template: template(), autosize: true };
    const config = { responsive: true, displaylogo: false, displayModeBar: plot.classList.contains("space") };
    // Only what works without a network.
    config.modeBarButtons = [["toImage"], ["orbitRotation", "pan3d", "zoom3d", "resetCameraDefault3d"]];
    Plotly.newPlot(plot, spec.data, layout, config);
  };
  // One after the other: the page can be read and scrolled meanwhile.
  const waiting = [...document.querySelectorAll(".plot")];
  const next = () => {
    if (waiting.length === 0) return;
    draw(waiting.shift());
    setTimeout(next);
  };
  next();
  dark.addEventListener("change", () => {
    for (const plot of drawn) Plotly.relayout(plot, { template: template() });
  });

  // One field is seen at a time.
  for (const choice of document.querySelectorAll("select[data-view]")) {
    const plot = document.getElementById(`${choice.dataset.view}-plot`);
    choice.addEventListener("change", () => {
      const visible = plot.data.map((trace) => trace.meta === choice.value);
      Plotly.restyle(plot, { visible });
      // Where the field is the height, its axis has its name.
      if (plot.layout.meta.rises) Plotly.relayout(plot, { "scene.zaxis.title.text": choice.selectedOptions[0].text });
    });
  }
})();
