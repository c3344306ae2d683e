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

  const plots = [...document.querySelectorAll(".plot")];
  for (const plot of plots) {
    const spec = JSON.parse(document.getElementById(plot.dataset.spec).textContent);
    const layout = { ...spec.layout, template: template(), autosize: true };
    const bar = plot.classList.contains("space");
    Plotly.newPlot(plot, spec.data, layout, { responsive: true, displaylogo: false, displayModeBar: bar });
  }
  dark.addEventListener("change", () => {
    for (const plot of plots) Plotly.relayout(plot, { template: template() });
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
